{{/* What every pod of the hub's services has. Of: root, component. */}}
{{- define "fleetlb.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "fleetlb.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where pods of a component may run. Of: root, component. */}}
{{- define "fleetlb.scheduling" -}}
{{- $own := index .root.Values .component -}}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
{{- if $own.affinity }}
  {{- toYaml $own.affinity | nindent 2 }}
{{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "fleetlb.selector" . | nindent 14 }}
{{- end }}
{{- with $own.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* The pod of a service, but for what it alone is told. Of: root, component, env, ports, secrets: the keys of the hub's Secret that it sees. */}}
{{- define "fleetlb.servicePod" -}}
{{- $own := index .root.Values .component -}}
metadata:
  labels:
    {{- include "fleetlb.labels" . | nindent 4 }}
    {{- with $own.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $own.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "fleetlb.account" . }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $own.terminationGracePeriodSeconds }}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- mergeOverwrite (include "fleetlb.podSecurity" . | fromYaml) $own.podSecurityContext | toYaml | nindent 4 }}
  containers:
    - name: {{ .component }}
      image: {{ printf "%s/%s:%s" .root.Values.image.registry $own.image.repository (default .root.Chart.AppVersion .root.Values.image.tag) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      env:
        - name: FLEETLB_HTTP_ADDRESS
          value: 0.0.0.0:8080
        - name: FLEETLB_LOG_LEVEL
          value: {{ .root.Values.logLevel }}
        - name: FLEETLB_IDENTITY
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: FLEETLB_SYSTEM_NAMESPACE
          valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
        - name: FLEETLB_NATS_URL
          value: {{ include "fleetlb.natsUrl" .root | quote }}
        - name: FLEETLB_NATS_CREDS
          value: /etc/fleetlb/hub/hub.creds
        {{- $ours := ternary (int .root.Values.nats.replicas) 1 (and .root.Values.nats.enabled (not .root.Values.nats.url)) }}
        - name: FLEETLB_NATS_REPLICAS
          value: {{ .root.Values.nats.streamReplicas | default $ours | toString | quote }}
        {{- if .root.Values.nats.tls.enabled }}
        - name: FLEETLB_NATS_TLS_CA
          value: /etc/fleetlb/nats-tls/ca.crt
        {{- if .root.Values.nats.tls.clientCertificate }}
        - name: FLEETLB_NATS_TLS_CERT
          value: /etc/fleetlb/nats-tls/tls.crt
        - name: FLEETLB_NATS_TLS_KEY
          value: /etc/fleetlb/nats-tls/tls.key
        {{- end }}
        {{- end }}
        {{- with .root.Values.tracing.endpoint }}
        - name: OTEL_EXPORTER_OTLP_ENDPOINT
          value: {{ . | quote }}
        {{- end }}
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $own.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - {name: http, containerPort: 8080}
        {{- with .ports }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      # Alive is whoever still answers; the bus and the API server may be away for hours without a restart being of use.
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 3
      resources:
        {{- toYaml $own.resources | nindent 8 }}
      securityContext:
        {{- include "fleetlb.containerSecurity" . | nindent 8 }}
      # Whole folders: a kubelet never renews a file that is mounted by itself.
      volumeMounts:
        - {name: hub, mountPath: /etc/fleetlb/hub, readOnly: true}
        {{- if .root.Values.nats.tls.enabled }}
        - {name: nats-tls, mountPath: /etc/fleetlb/nats-tls, readOnly: true}
        {{- end }}
  {{- include "fleetlb.scheduling" . | nindent 2 }}
  volumes:
    - name: hub
      secret:
        secretName: {{ .root.Values.nats.hubSecret }}
        defaultMode: 0440
        items:
          {{- range .secrets }}
          - {key: {{ . }}, path: {{ . }}}
          {{- end }}
    {{- if .root.Values.nats.tls.enabled }}
    - name: nats-tls
      secret: {secretName: {{ .root.Values.nats.tls.clientSecret }}, defaultMode: 0440}
    {{- end }}
{{- end -}}

{{/* A Deployment's head. Of: root, component. */}}
{{- define "fleetlb.deploymentHead" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "fleetlb.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "fleetlb.labels" . | nindent 4 }}
{{- end -}}
