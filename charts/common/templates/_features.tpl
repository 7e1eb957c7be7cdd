{{/* Removes what only a disabled feature needs: without images no object store. Idempotent. */}}
{{- define "common.selectFeatures" -}}
{{- if not .Values.global.features.images -}}
{{- range list "s3" "cloudIdentity" -}}
{{- $_ := unset ($.Values.calls | default dict) . -}}
{{- end -}}
{{- $keys := dig "keys" (dict) (.Values.secret | default dict) -}}
{{- range list "S3_ACCESS_KEY_ID" "S3_SECRET_ACCESS_KEY" -}}
{{- if hasKey $keys . -}}
{{- $_ := set $keys . false -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
