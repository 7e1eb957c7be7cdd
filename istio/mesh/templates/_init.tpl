{{- define "mesh.init" -}}
{{- include "common.init" . -}}
{{- include "common.refuseDevelopment" . -}}
{{- include "common.requireSite" . -}}
{{- if and .Values.gateway.selfSigned (ne .Values.global.environment "development") -}}
{{- fail "gateway.selfSigned is for development: create the Secret gateway.tlsSecret with a certificate that clients trust" -}}
{{- end -}}
{{- if not .Values.global.mesh.enabled -}}
{{- fail "global.mesh.enabled is false: there is no mesh to configure" -}}
{{- end -}}
{{- if eq (empty .Values.tokens.jwks) (empty .Values.tokens.jwksUri) -}}
{{- fail "give tokens.jwks, the public keys of users (twelvefold keys show), or tokens.jwksUri of another issuer: with neither, every token is refused" -}}
{{- end -}}
{{- if contains "\"d\"" .Values.tokens.jwks -}}
{{- fail "tokens.jwks contains a private key: pass what `twelvefold keys show` prints" -}}
{{- end -}}
{{- if and (ne .Values.global.environment "development") (contains "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU" .Values.tokens.jwks) -}}
{{- fail "tokens.jwks is the documented example, whose private key is public" -}}
{{- end -}}
{{- end -}}
