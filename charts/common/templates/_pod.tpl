{{/* Shared parts of the pods of services, migrations and tests. */}}
{{- define "common.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "common.container" -}}
image: {{ include "common.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# Makes the last log lines, such as invalid settings, visible in `kubectl describe`.
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: {{ .Values.readOnlyRootFilesystem }}
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* The settings of the service's processes: ConfigMaps, then secrets as files. */}}
{{- define "common.environment" -}}
envFrom:
  {{- with .Values.sharedConfig }}
  - configMapRef: {name: {{ . }}}
  {{- end }}
  - configMapRef: {name: {{ include "common.fullname" . }}}
env:
  - name: INSTANCE_ID
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  {{- range include "common.secretKeys" . | fromYamlArray }}
  - name: {{ . }}_FILE
    value: /run/secrets/twelvefold/{{ . }}
  {{- end }}
  {{- include "common.trustVariable" . | nindent 2 }}
{{- end -}}

{{- define "common.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/twelvefold, readOnly: true}
{{- if .Values.trustedCertificates.configMap }}
- {name: trusted, mountPath: /etc/twelvefold/trusted, readOnly: true}
{{- end }}
{{- end -}}

{{/* Certificate authorities that replace the image's. */}}
{{- define "common.trustVariable" -}}
{{- if .Values.trustedCertificates.configMap }}
- name: SSL_CERT_FILE
  value: /etc/twelvefold/trusted/{{ .Values.trustedCertificates.key }}
{{- end }}
{{- end -}}

{{- define "common.trustVolume" -}}
{{- with .Values.trustedCertificates.configMap }}
- name: trusted
  configMap: {name: {{ . }}}
{{- end }}
{{- end -}}

{{- define "common.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.tmpSize }}}
- name: secrets
  secret:
    secretName: {{ include "common.secretName" . }}
    defaultMode: 0440
    items:
      {{- range include "common.secretKeys" . | fromYamlArray }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{ include "common.trustVolume" . }}
{{- end -}}
