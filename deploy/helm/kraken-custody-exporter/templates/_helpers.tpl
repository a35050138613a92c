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

{{- /* component: which of several shards, if each has a pair of pods. */ -}}
{{- define "exporter.podSelector" -}}
{{ include "exporter.selector" . }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
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

{{- /* The rules select jobs with this prefix. */ -}}
{{- define "exporter.job" -}}
{{- $name := include "exporter.fullname" . }}
{{- hasPrefix "kraken-custody" $name | ternary $name (printf "kraken-custody-%s" $name) }}
{{- end }}

{{- /* Whether there is more than one pod: then StatefulSets give them stable names. */ -}}
{{- define "exporter.isSeveral" -}}
{{- if or .Values.lease (gt (int .Values.shards) 1) }}true{{ end }}
{{- end }}

{{- define "exporter.leaseKind" -}}
{{- default "" .Values.lease.kind }}
{{- end }}

{{- define "exporter.leaseName" -}}
{{- default (include "exporter.fullname" . | trunc 58 | trimSuffix "-") .Values.lease.name }}
{{- end }}

{{- /* The names of all leases, as the exporter derives them. */ -}}
{{- define "exporter.leases" -}}
{{- $name := include "exporter.leaseName" . }}
{{- $names := list }}
{{- range $number := until (int .Values.shards) }}
{{- $names = append $names (gt (int $.Values.shards) 1 | ternary (printf "%s-%d" $name $number) $name) }}
{{- end }}
{{- toYaml $names }}
{{- end }}

{{- /* The StatefulSets: one with a pod for each shard, or, with leases, one with a pair of pods for each shard. */ -}}
{{- define "exporter.sets" -}}
{{- $name := include "exporter.fullname" . }}
{{- $shards := int .Values.shards }}
{{- $sets := list }}
{{- if not .Values.lease }}
{{- $sets = list (dict "name" $name "shard" "$(SHARD)" "replicas" $shards "component" "") }}
{{- else if eq $shards 1 }}
{{- $sets = list (dict "name" $name "shard" "" "replicas" 2 "component" "") }}
{{- else }}
{{- range $number := until $shards }}
{{- $own := dict "name" (printf "%s-%d" $name $number) "shard" (toString $number) "replicas" 2 }}
{{- $sets = append $sets (set $own "component" (printf "shard-%d" $number)) }}
{{- end }}
{{- end }}
{{- toYaml $sets }}
{{- end }}

{{- /* The Secrets of a credential for a pod, and the directory of each. */ -}}
{{- define "exporter.secrets" -}}
{{- $name := .credential.existingSecret }}
{{- $secrets := list }}
{{- if not (contains "{shard}" $name) }}
{{- $secrets = list (dict "name" $name "directory" "") }}
{{- else if eq .shard "$(SHARD)" }}
{{- range $number := until (int .Values.shards) }}
{{- $secrets = append $secrets (dict "name" (replace "{shard}" (toString $number) $name) "directory" (printf "%d/" $number)) }}
{{- end }}
{{- else }}
{{- $number := default "0" .shard }}
{{- $secrets = list (dict "name" (replace "{shard}" $number $name) "directory" (printf "%s/" $number)) }}
{{- end }}
{{- toYaml $secrets }}
{{- end }}

{{- /* Two pods on one node would both be lost with it. */ -}}
{{- define "exporter.affinity" -}}
{{- $affinity := deepCopy .Values.affinity }}
{{- if and .Values.lease (not (hasKey $affinity "podAntiAffinity")) }}
{{- $labels := include "exporter.podSelector" . | fromYaml }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) }}
{{- $_ := set $affinity "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) }}
{{- end }}
{{- toYaml $affinity }}
{{- end }}

{{- define "exporter.scheme" -}}
{{- if and .Values.webConfig.existingSecret .Values.webConfig.tls }}https{{ else }}http{{ end }}
{{- end }}

{{- /* Default key in the Secret, and name in the configuration, of each file of a key pair. */ -}}
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

{{- /* config.yaml: the values unchanged, and the paths of the mounted secrets. */ -}}
{{- define "exporter.config" -}}
{{- $credentials := dict }}
{{- range $name, $credential := .Values.credentials }}
{{- $settings := deepCopy (default dict $credential.settings) }}
{{- range $setting, $key := include "exporter.secretFiles" $credential | fromYaml }}
{{- $directory := contains "{shard}" $credential.existingSecret | ternary "{shard}/" "" }}
{{- $_ := set $settings $setting (printf "secrets/%s/%s%s" $name $directory $key) }}
{{- end }}
{{- $_ := set $credentials $name $settings }}
{{- end }}
{{- $config := set (deepCopy .Values.config) "credentials" $credentials }}
{{- with .Values.lease }}
{{- $_ := set $config "lease" (merge (dict "name" (include "exporter.leaseName" $)) .) }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- /* Fail before the installation if the values cannot work. */ -}}
{{- define "exporter.check" -}}
{{- if and (include "exporter.isSeveral" .) (gt (len (include "exporter.fullname" .)) 47) }}
{{- fail "fullnameOverride: set a name of at most 47 characters, as Kubernetes adds to those of StatefulSets" }}
{{- end }}
{{- if .Values.existingConfigMap }}
{{- if .Values.config }}
{{- fail "config and existingConfigMap are mutually exclusive: the ConfigMap has the whole config.yaml" }}
{{- end }}
{{- else }}
{{- if hasKey .Values.config "credentials" }}
{{- fail "config.credentials is made from credentials: name key pairs and their Secrets there" }}
{{- end }}
{{- if .Values.config.lease }}
{{- fail "config.lease is made from lease: set that, which also makes the second pod" }}
{{- end }}
{{- if not .Values.credentials }}
{{- fail "credentials: name at least one key pair and its Secret, such as {treasury: {existingSecret: kraken-custody-exporter}}" }}
{{- end }}
{{- range $name, $credential := .Values.credentials }}
{{- if and (gt (int $.Values.shards) 1) (not (contains "{shard}" $credential.existingSecret)) }}
{{- printf "credentials.%s: each shard needs a key of its own: put {shard} into existingSecret, such as %s-{shard}" $name $credential.existingSecret | fail }}
{{- end }}
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
