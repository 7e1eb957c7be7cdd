{{/*
Allowed connections. A service lists its callers and the servers that it calls, each with the reason;
global.peers contains their locations. charts/platform denies all other connections.
*/}}

{{/* Peers of a NetworkPolicy rule as a list; empty if the peer is absent. Takes root and name. */}}
{{- define "common.peer" -}}
{{- $peer := index .root.Values.global.peers .name -}}
{{- if not $peer -}}
{{- fail (printf "global.peers has no %s" .name) -}}
{{- end -}}
{{- if $peer.app }}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ $peer.app }}
{{- else if $peer.cidrs }}
{{- range $peer.cidrs }}
- ipBlock:
    cidr: {{ . | quote }}
    {{- with include "common.metadataAddress" . }}
    # Pods must not read the node's credentials.
    except: [{{ . | quote }}]
    {{- end }}
{{- end }}
{{- else if $peer.namespace }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ $peer.namespace }}
  podSelector:
    matchLabels:
      {{- toYaml (required (printf "global.peers.%s has a namespace and no labels" .name) $peer.labels) | nindent 6 }}
{{- else -}}
{{- fail (printf "global.peers.%s has no location: give it cidrs, or a namespace and labels" .name) -}}
{{- end -}}
{{- end -}}

{{/* The metadata address, if a network contains it. A network of this address only is rejected. */}}
{{- define "common.metadataAddress" -}}
{{- $network := splitList "/" . -}}
{{- $length := last $network | int -}}
{{- $address := "" -}}
{{- if contains ":" . -}}
{{- if or (eq $length 0) (hasPrefix "fd00:ec2:" .) -}}
{{- $address = "fd00:ec2::254/128" -}}
{{- end -}}
{{- else -}}
{{- $number := 0 -}}
{{- range splitList "." (first $network) -}}
{{- $number = add (mul $number 256) (int .) -}}
{{- end -}}
{{- $size := 1 -}}
{{- range until (sub 32 $length | int) -}}
{{- $size = mul $size 2 -}}
{{- end -}}
{{- /* 169.254.169.254 as a number */ -}}
{{- if eq (div $number $size) (div 2852039166 $size) -}}
{{- $address = "169.254.169.254/32" -}}
{{- end -}}
{{- end -}}
{{- if eq . $address -}}
{{- fail (printf "%s is the metadata address with the node's credentials: no service may call it" .) -}}
{{- end -}}
{{- $address -}}
{{- end -}}

{{/* Whether the peer exists: the unused kind of edge and a peer without a host do not. */}}
{{- define "common.hasPeer" -}}
{{- $values := .root.Values -}}
{{- $peer := index $values.global.peers .name -}}
{{- if eq .name "gateway" -}}
{{- if $values.global.mesh.enabled -}}true{{- end -}}
{{- else if eq .name "ingress" -}}
{{- if dig "ingress" "enabled" false $values -}}true{{- end -}}
{{- else if or (not (hasKey $peer "host")) $peer.host -}}true{{- end -}}
{{- end -}}

{{/* Egress to the cluster's DNS only. */}}
{{- define "common.egressToDns" -}}
- to:
    {{- include "common.peer" (dict "root" . "name" "dns") | trim | nindent 4 }}
  ports:
    - {protocol: UDP, port: {{ .Values.global.peers.dns.port }}}
    - {protocol: TCP, port: {{ .Values.global.peers.dns.port }}}
{{- end -}}

{{/* Egress to one peer. Takes root and name. */}}
{{- define "common.egressTo" -}}
- to:
    {{- include "common.peer" . | trim | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ (index .root.Values.global.peers .name).port }}}
{{- end -}}

{{- define "common.networkpolicy" -}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .Chart.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  annotations:
    {{- range $port, $peers := .Values.callers }}
    {{- range $peer, $reason := $peers }}
    twelvefold.dev/from-{{ $peer }}-to-{{ $port }}: {{ $reason | quote }}
    {{- end }}
    {{- end }}
    {{- range $peer, $reason := .Values.calls }}
    twelvefold.dev/to-{{ $peer }}: {{ $reason | quote }}
    {{- end }}
    {{- include "common.annotations" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ .Chart.Name }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- range $port, $peers := .Values.callers }}
    {{- range $peer, $_ := $peers }}
    {{- if include "common.hasPeer" (dict "root" $ "name" $peer) }}
    - from:
        {{- include "common.peer" (dict "root" $ "name" $peer) | trim | nindent 8 }}
      ports:
        - {protocol: TCP, port: {{ required (printf "callers names the port %s, ports does not" $port) (index $.Values.ports $port) }}}
    {{- end }}
    {{- end }}
    {{- end }}
    # The release's test.
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: {{ .Chart.Name }}-test
      ports:
        - {protocol: TCP, port: {{ .Values.ports.management }}}
  egress:
    {{- include "common.egressToDns" . | nindent 4 }}
    {{- if .Values.global.mesh.enabled }}
    {{- include "common.egressTo" (dict "root" . "name" "istiod") | nindent 4 }}
    {{- end }}
    {{- range $peer, $_ := .Values.calls }}
    {{- if include "common.hasPeer" (dict "root" $ "name" $peer) }}
    {{- include "common.egressTo" (dict "root" $ "name" $peer) | nindent 4 }}
    {{- end }}
    {{- end }}
{{- end -}}
