{{- define "mesh.init" -}}
{{- include "common.init" . -}}
{{- include "common.refuseDevelopment" . -}}
{{- include "common.requireSite" . -}}
{{- if and .Values.gateway.selfSigned (ne .Values.global.environment "development") -}}
{{- fail "gateway.selfSigned is for development: create the Secret gateway.tlsSecret with a certificate that clients trust" -}}
{{- end -}}
{{- if not (include "common.isMeshed" .) -}}
{{- fail "global.mesh.mode is none: there is no mesh to configure" -}}
{{- end -}}
{{- include "common.requireEntrance" . -}}
{{- if and (include "common.isAmbient" .) .Values.gateway.trustedProxies -}}
{{- fail "gateway.trustedProxies needs an EnvoyFilter, which ambient has not: set numTrustedProxies in the gatewayTopology of the gateway's own configuration" -}}
{{- end -}}
{{- if and (include "mesh.checksTokens" .) (eq (empty .Values.tokens.jwks) (empty .Values.tokens.jwksUri)) -}}
{{- fail "give tokens.jwks, the public keys of users (twelvefold keys show), or tokens.jwksUri of another issuer: with neither, every token is refused" -}}
{{- end -}}
{{- if contains "\"d\"" .Values.tokens.jwks -}}
{{- fail "tokens.jwks contains a private key: pass what `twelvefold keys show` prints" -}}
{{- end -}}
{{- if and (ne .Values.global.environment "development") (contains "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU" .Values.tokens.jwks) -}}
{{- fail "tokens.jwks is the documented example, whose private key is public" -}}
{{- end -}}
{{- end -}}

{{/* Pods of the services, without migrations and tests. */}}
{{- define "mesh.servicePods" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/part-of: twelvefold
      app.kubernetes.io/component: service
{{- end -}}

{{- define "mesh.waypointRef" -}}
- {group: gateway.networking.k8s.io, kind: Gateway, name: {{ include "common.waypoint" . }}}
{{- end -}}

{{/* "true" where the mesh verifies tokens: in sidecars or at the waypoint. Api does it always. */}}
{{- define "mesh.checksTokens" -}}
{{- if or (include "common.isSidecar" .) .Values.global.mesh.waypoint -}}true{{- end -}}
{{- end -}}
