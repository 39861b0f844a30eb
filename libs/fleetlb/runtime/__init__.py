"""The process skeleton every service stands on: settings, life cycle, health, workers, bus. Knows no Kubernetes."""
