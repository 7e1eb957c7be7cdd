{{/*
A Service of one release's pods. HTTPRoutes give weights to Services, since the Gateway API knows no
subsets of one.
*/}}
{{- define "common.hasInstanceService" -}}
{{- $global := .Values.global -}}
{{- $isPublic := and $global.gatewayApi.enabled (hasKey .Values.ports "http") -}}
{{- if and (omit .Values.ports "management") (or $isPublic $global.mesh.waypoint) -}}true{{- end -}}
{{- end -}}

{{- define "common.instanceService" -}}
{{- if include "common.hasInstanceService" . }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .Chart.Name }}-{{ include "common.subset" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
    {{- include "common.waypointLabels" . | nindent 4 }}
  {{- include "common.annotationsWith" (dict "root" . "own" .Values.service.annotations) | nindent 2 }}
spec:
  type: ClusterIP
  {{- include "common.ipFamilies" . | nindent 2 }}
  selector:
    {{- include "common.selector" . | nindent 4 }}
  ports:
    {{- range $name, $port := omit .Values.ports "management" }}
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}, protocol: TCP, appProtocol: http}
    {{- end }}
{{- end }}
{{- end -}}
