{{- define "fleetlb.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "fleetlb.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "fleetlb.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels by which pods are selected. Of: root, component. */}}
{{- define "fleetlb.selector" -}}
app.kubernetes.io/name: {{ include "fleetlb.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object. Of: root, component. */}}
{{- define "fleetlb.labels" -}}
{{ include "fleetlb.selector" . }}
app.kubernetes.io/part-of: fleetlb
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Chart.AppVersion }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name of a service's account. Of: root, component. */}}
{{- define "fleetlb.account" -}}
{{- $given := (index .root.Values .component).serviceAccount -}}
{{- if $given.create -}}
{{- default (printf "%s-%s" (include "fleetlb.fullname" .root) .component) $given.name -}}
{{- else -}}
{{- required (printf "%s.serviceAccount.name: name the account, or let the chart create one" .component) $given.name -}}
{{- end -}}
{{- end -}}

{{/* Where the services find NATS. */}}
{{- define "fleetlb.natsUrl" -}}
{{- if .Values.nats.url -}}
{{- .Values.nats.url -}}
{{- else if .Values.nats.enabled -}}
{{- printf "%s://%s-nats.%s.svc:4222" (ternary "tls" "nats" .Values.nats.tls.enabled) (include "fleetlb.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- fail "nats.url: say where NATS is, or run the one of this chart with nats.enabled=true" -}}
{{- end -}}
{{- end -}}
