{{- define "exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "exporter.fullname" -}}
{{- $name := include "exporter.name" . }}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $both .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "exporter.selector" -}}
app.kubernetes.io/name: {{ include "exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "exporter.labels" -}}
{{ include "exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "exporter.serviceAccount" -}}
{{- default (.Values.serviceAccount.create | ternary (include "exporter.fullname" .) "default") .Values.serviceAccount.name }}
{{- end }}

{{- define "exporter.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* The rules look for jobs whose name begins like that. */ -}}
{{- define "exporter.job" -}}
{{- $name := include "exporter.fullname" . }}
{{- hasPrefix "kraken-custody" $name | ternary $name (printf "kraken-custody-%s" $name) }}
{{- end }}

{{- define "exporter.scheme" -}}
{{- if and .Values.webConfig.existingSecret .Values.webConfig.tls }}https{{ else }}http{{ end }}
{{- end }}

{{- /* What each file of a key pair is called in a Secret by default, and in the configuration. */ -}}
{{- define "exporter.secretFiles" -}}
{{- $keys := default dict .keys }}
api_key_file: {{ default "api-key" $keys.apiKey }}
api_secret_file: {{ default "api-secret" $keys.apiSecret }}
{{- with $keys.otp }}
otp_file: {{ . }}
{{- end }}
{{- with $keys.totpSecret }}
totp_secret_file: {{ . }}
{{- end }}
{{- end }}

{{- /* config.yaml: the values as they are, and where the secrets are mounted. */ -}}
{{- define "exporter.config" -}}
{{- $credentials := dict }}
{{- range $name, $credential := .Values.credentials }}
{{- $settings := deepCopy (default dict $credential.settings) }}
{{- range $setting, $key := include "exporter.secretFiles" $credential | fromYaml }}
{{- $_ := set $settings $setting (printf "secrets/%s/%s" $name $key) }}
{{- end }}
{{- $_ := set $credentials $name $settings }}
{{- end }}
{{- set (deepCopy .Values.config) "credentials" $credentials | toYaml }}
{{- end }}

{{- /* What cannot work is said before it is installed. */ -}}
{{- define "exporter.check" -}}
{{- if .Values.existingConfigMap }}
{{- if .Values.config }}
{{- fail "config and existingConfigMap are mutually exclusive: the ConfigMap has the whole config.yaml" }}
{{- end }}
{{- else }}
{{- if hasKey .Values.config "credentials" }}
{{- fail "config.credentials is made from credentials: name key pairs and their Secrets there" }}
{{- end }}
{{- if eq (default "" (default dict .Values.config.lease).kind) "kubernetes" }}
{{- fail "config.lease: the pod has no token of its service account, which kind kubernetes needs; use kind redis" }}
{{- end }}
{{- if not .Values.credentials }}
{{- fail "credentials: name at least one key pair and its Secret, such as {treasury: {existingSecret: kraken-custody-exporter}}" }}
{{- end }}
{{- if not (or (kindIs "map" .Values.config.discovery) .Values.config.organizations) }}
{{- fail "config: set discovery: {} to find all vaults, or list organizations" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "exporter.probe" -}}
{{- if eq .root.Values.probeHandler "tcp" -}}
tcpSocket: {port: metrics}
{{- else if eq .root.Values.probeHandler "exec" -}}
exec:
  command: [env, "HEALTHCHECK_URL={{ include "exporter.scheme" .root }}://127.0.0.1:10063{{ .path }}", /app/bin/python, -I, -m, exporter.healthcheck]
{{- else if eq (include "exporter.scheme" .root) "https" -}}
httpGet: {path: {{ .path }}, port: metrics, scheme: HTTPS}
{{- else -}}
httpGet: {path: {{ .path }}, port: metrics}
{{- end }}
{{- end }}
