{{/* The name of everything: the release's, with the chart's unless that is part of it. */}}
{{- define "plimsoll.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* What selects the operator's pods; never changes over a release's life. */}}
{{- define "plimsoll.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of what is not one of the operator's pods, so that nothing that selects those finds it. */}}
{{- define "plimsoll.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "plimsoll.labels" -}}
{{ include "plimsoll.selectorLabels" . }}
{{ include "plimsoll.commonLabels" . }}
{{- end -}}

{{- define "plimsoll.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- if .Values.image.digest }}{{ $tagged }}@{{ .Values.image.digest }}{{ else }}{{ $tagged }}{{ end -}}
{{- end -}}

{{/* What the operator may do in a namespace whose policies it obeys: what it does, and nothing else. */}}
{{- define "plimsoll.rules" -}}
- apiGroups: [plimsoll.dev]
  resources: [scalingpolicies]
  verbs: [list, watch]
- apiGroups: [plimsoll.dev]
  resources: [scalingpolicies/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments, statefulsets, replicasets]
  verbs: [list, watch]
# For other kinds with a /scale subresource: rbac.additionalScaleTargets.
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# Only to notice that a HorizontalPodAutoscaler scales the same workload.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- range .Values.rbac.additionalScaleTargets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ printf "%s/scale" .resource | quote }}]
  verbs: [get, patch]
{{- end }}
{{- end -}}

{{/* The configuration and the Secrets that it names, where the operator reads them. */}}
{{- define "plimsoll.mounts" -}}
- name: config
  mountPath: /etc/plimsoll/config.yaml
  subPath: config.yaml
  readOnly: true
{{- range .Values.credentialSecrets }}
- name: {{ printf "secret-%s" (sha256sum . | trunc 8) }}
  mountPath: /etc/plimsoll/secrets/{{ . }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "plimsoll.volumes" -}}
- name: config
  configMap: {name: {{ include "plimsoll.fullname" . }}}
{{- range .Values.credentialSecrets }}
- name: {{ printf "secret-%s" (sha256sum . | trunc 8) }}
  secret: {secretName: {{ . }}}
{{- end }}
{{- end -}}

{{- define "plimsoll.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
