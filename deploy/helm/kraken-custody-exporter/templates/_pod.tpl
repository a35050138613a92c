{{- /* The pod. shard: its number, "$(SHARD)" if only the pod knows it, empty if there is only one. */ -}}
{{- define "exporter.pod" -}}
metadata:
  labels:
    {{- include "exporter.podSelector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.podAnnotations (not .Values.existingConfigMap) }}
  annotations:
    {{- if not .Values.existingConfigMap }}
    # A changed configuration starts a new pod.
    checksum/config: {{ include "exporter.config" . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "exporter.serviceAccount" . }}
  automountServiceAccountToken: {{ eq (include "exporter.leaseKind" .) "kubernetes" }}
  enableServiceLinks: false
  # It stops within 5 s.
  terminationGracePeriodSeconds: 15
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "exporter.affinity" . | fromYaml }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  containers:
    - name: exporter
      image: {{ include "exporter.image" . }}
      {{- with .Values.image.pullPolicy }}
      imagePullPolicy: {{ . }}
      {{- end }}
      args:
        - --log.level={{ .Values.log.level }}
        - --log.format={{ .Values.log.format }}
        {{- if .Values.webConfig.existingSecret }}
        - --web.config.file={{ .Values.webConfig.key }}
        {{- end }}
        {{- with .shard }}
        - --shard={{ . }}/{{ $.Values.shards }}
        {{- end }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or .Values.extraEnv (eq .shard "$(SHARD)") }}
      env:
        {{- if eq .shard "$(SHARD)" }}
        # The ordinal at the end of the pod's name.
        - name: SHARD
          valueFrom:
            fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: 10063
      startupProbe:
        {{- include "exporter.probe" (dict "root" . "path" "/-/ready") | nindent 8 }}
        periodSeconds: 1
        timeoutSeconds: 5
        failureThreshold: 30
      # Neither probe depends on the API: metrics report its failures, and a restart would not help.
      livenessProbe:
        {{- include "exporter.probe" (dict "root" . "path" "/-/healthy") | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 5
      readinessProbe:
        {{- include "exporter.probe" (dict "root" . "path" "/-/ready") | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 5
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - name: configuration
          mountPath: /etc/kraken-custody-exporter
          readOnly: true
  volumes:
    # One directory, as in config.example.yaml: config.yaml and secrets/.
    - name: configuration
      projected:
        # Readable by root and fsGroup only.
        defaultMode: 0440
        sources:
          - configMap:
              name: {{ default (include "exporter.fullname" .) .Values.existingConfigMap }}
              items:
                - {key: config.yaml, path: config.yaml}
          {{- range $name, $credential := .Values.credentials }}
          {{- range $secret := include "exporter.secrets" (merge (dict "credential" $credential) $) | fromYamlArray }}
          - secret:
              name: {{ $secret.name }}
              items:
                {{- range $key := include "exporter.secretFiles" $credential | fromYaml }}
                - {key: {{ $key }}, path: secrets/{{ $name }}/{{ $secret.directory }}{{ $key }}}
                {{- end }}
          {{- end }}
          {{- end }}
          {{- with .Values.webConfig.existingSecret }}
          - secret:
              name: {{ . }}
          {{- end }}
          {{- with .Values.extraFiles }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
{{- end }}
