{{/* Shared parts of the pods of services, migrations and tests. */}}
{{- define "common.pod" -}}
enableServiceLinks: false
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  {{- with .Values.podSecurityContext }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
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

{{/* The settings of the service's processes: ConfigMaps, then secrets as files, then `extra`. */}}
{{- define "common.environment" -}}
envFrom:
  {{- with .Values.sharedConfig }}
  - configMapRef: {name: {{ . }}}
  {{- end }}
  - configMapRef: {name: {{ include "common.fullname" . }}}
  {{- with .Values.extra.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - name: INSTANCE_ID
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  {{- range include "common.secretKeys" . | fromYamlArray }}
  - name: {{ . }}_FILE
    value: /run/secrets/twelvefold/{{ . }}
  {{- end }}
  {{- include "common.trustVariable" . | nindent 2 }}
  {{- with include "common.extraEnvironment" . }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Variables of `extra.env`, none of which replaces a setting of this release. */}}
{{- define "common.extraEnvironment" -}}
{{- $set := concat (include "common.settings" . | fromYaml | keys) (list "INSTANCE_ID" "SSL_CERT_FILE") -}}
{{- $secret := include "common.secretKeys" . | fromYamlArray -}}
{{- range .Values.extra.env -}}
{{- if has .name $set -}}
{{- fail (printf "extra.env names %s, which the chart sets: use config" .name) -}}
{{- end -}}
{{- if or (has .name $secret) (has (trimSuffix "_FILE" .name) $secret) -}}
{{- fail (printf "extra.env names %s, which comes from a Secret: use secret.keys" .name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.extra.env }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- define "common.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/twelvefold, readOnly: true}
{{- if include "common.trusts" . }}
- {name: trusted, mountPath: /etc/twelvefold/trusted, readOnly: true}
{{- end }}
{{- end -}}

{{/* Certificate authorities that replace the image's. */}}
{{- define "common.trusts" -}}
{{- with .Values.trustedCertificates -}}
{{- if and .configMap .secret -}}
{{- fail "trustedCertificates.configMap and trustedCertificates.secret: choose one" -}}
{{- end -}}
{{- .configMap | default .secret -}}
{{- end -}}
{{- end -}}

{{- define "common.trustVariable" -}}
{{- if include "common.trusts" . }}
- name: SSL_CERT_FILE
  value: /etc/twelvefold/trusted/{{ .Values.trustedCertificates.key }}
{{- end }}
{{- end -}}

{{- define "common.trustVolume" -}}
{{- if include "common.trusts" . }}
- name: trusted
  {{- with .Values.trustedCertificates }}
  {{- if .configMap }}
  configMap: {name: {{ .configMap }}}
  {{- else }}
  secret: {secretName: {{ .secret }}, defaultMode: 0440, items: [{key: {{ .key }}, path: {{ .key }}}]}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "common.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.tmpSize }}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range include "common.secretSources" . | fromYamlArray }}
      - secret:
          name: {{ .name }}
          items:
            {{- range .items }}
            - {key: {{ .key }}, path: {{ .path }}}
            {{- end }}
      {{- end }}
# The settings as files too, for what reads no variables.
- name: config
  configMap: {name: {{ include "common.fullname" . }}}
{{ include "common.trustVolume" . }}
{{- with .Values.extra.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
