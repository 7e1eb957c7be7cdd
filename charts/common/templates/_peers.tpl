{{/*
Locations of peers: networks, and pods in a namespace. A metadata service gives its caller the
credentials of the node, so no peer may be there, except for the DNS of GKE, which has the same address.
*/}}

{{/*
Locations of a peer as a JSON list of networks (strings) and pods (namespace and labels). Takes root and
name. `cidrs`, and `namespace` with `labels`, are the short form for a peer without a list.
*/}}
{{- define "common.locations" -}}
{{- $peer := index .root.Values.global.peers .name -}}
{{- $found := $peer.cidrs | default list -}}
{{- if $peer.namespace -}}
{{- $found = append $found (dict "namespace" $peer.namespace "labels" $peer.labels) -}}
{{- end -}}
{{- if and $peer.locations (or $found $peer.labels $peer.app) -}}
{{- fail (printf "global.peers.%s has locations, and app, cidrs, namespace or labels beside them: list everything in locations" .name) -}}
{{- end -}}
{{- $found | default $peer.locations | default list | toJson -}}
{{- end -}}

{{/* Peers of a NetworkPolicy rule as a list. Takes root and name. */}}
{{- define "common.peer" -}}
{{- $name := .name -}}
{{- $peer := index .root.Values.global.peers $name -}}
{{- if not $peer -}}
{{- fail (printf "global.peers has no %s" $name) -}}
{{- end -}}
{{- $locations := include "common.locations" . | fromJsonArray -}}
{{- if $peer.app }}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ $peer.app }}
{{- else if not $locations -}}
{{- fail (printf "global.peers.%s has no location: list networks, or pods by namespace and labels" $name) -}}
{{- end -}}
{{- range $locations }}
{{- if kindIs "string" . }}
- ipBlock:
    cidr: {{ . | quote }}
    {{- with include "common.exceptions" (dict "name" $name "port" $peer.port "network" .) | fromJsonArray }}
    # Pods must not read the node's credentials.
    except: {{ toJson . }}
    {{- end }}
{{- else }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .namespace }}
  podSelector:
    matchLabels:
      {{- if not .labels -}}
      {{- fail (printf "global.peers.%s has a namespace and no labels" $name) -}}
      {{- end -}}
      {{- toYaml .labels | nindent 6 }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Metadata addresses that a network contains, as a JSON list of networks to except. A network of such an
address only is rejected. Takes name, port and network.
*/}}
{{- define "common.exceptions" -}}
{{- $network := .network -}}
{{- $byte := "(25[0-5]|(2[0-4]|1[0-9]|[1-9])?[0-9])" -}}
{{- $groups := "[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}" -}}
{{- if not (regexMatch (printf "^(%s(\\.%s){3}/(3[0-2]|[12]?[0-9])|%s/(12[0-8]|(1[01]|[1-9])?[0-9]))$" $byte $byte $groups) $network) -}}
{{- fail (printf "global.peers.%s: %s is not a network such as 10.20.0.0/24 or 2001:db8::/32" .name $network) -}}
{{- end -}}
{{- $length := splitList "/" $network | last | int -}}
{{- $found := list -}}
{{- if and (ge $length 96) (include "common.overlap" (list $network "::ffff:0:0/96")) -}}
{{- fail (printf "global.peers.%s: %s is a network of IPv4 addresses: write it as one" .name $network) -}}
{{- end -}}
{{- /* AWS, Azure, Google and most others; Alibaba; AWS and Google by IPv6 */ -}}
{{- range list "169.254.169.254/32" "100.100.100.200/32" "fd00:ec2::254/128" "fd20:ce::254/128" -}}
{{- if include "common.overlap" (list $network .) -}}
{{- $found = append $found . -}}
{{- end -}}
{{- end -}}
{{- if and $found (eq .name "dns") (eq $network "169.254.169.254/32") -}}
{{- if ne (int .port) 53 -}}
{{- fail (printf "global.peers.dns: %s is DNS on port 53 only, and the metadata service on others" $network) -}}
{{- end -}}
{{- $found = list -}}
{{- else if and $found (ge $length (ternary 128 32 (contains ":" $network))) -}}
{{- fail (printf "global.peers.%s: %s is the metadata address with the node's credentials: no service may call it (only dns may be at 169.254.169.254/32)" .name $network) -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* "true" if one of two networks contains the other; they are of one family then. Takes both as a list. */}}
{{- define "common.overlap" -}}
{{- $one := first . | splitList "/" -}}
{{- $other := last . | splitList "/" -}}
{{- $length := min (last $one) (last $other) -}}
{{- $groups := include "common.addressGroups" (first $one) | fromJsonArray -}}
{{- $others := include "common.addressGroups" (first $other) | fromJsonArray -}}
{{- $same := eq (len $groups) (len $others) -}}
{{- range $at, $group := $groups -}}
{{- if $same -}}
{{- $size := 1 -}}
{{- range until (sub 16 (min 16 (max 0 (sub $length (mul 16 $at)))) | int) -}}
{{- $size = mul 2 $size -}}
{{- end -}}
{{- $same = eq (div $group $size) (div (index $others $at) $size) -}}
{{- end -}}
{{- end -}}
{{- if $same -}}true{{- end -}}
{{- end -}}

{{/* Groups of 16 bits of an address as a JSON list of numbers: two of IPv4, eight of IPv6. */}}
{{- define "common.addressGroups" -}}
{{- $groups := list -}}
{{- if contains ":" . -}}
{{- $sides := splitList "::" . -}}
{{- $head := first $sides | splitList ":" | compact -}}
{{- $tail := rest $sides | join "" | splitList ":" | compact -}}
{{- range until (sub (sub 8 (len $head)) (len $tail) | int) -}}
{{- $head = append $head "0" -}}
{{- end -}}
{{- range concat $head $tail -}}
{{- $groups = append $groups (int (printf "0x%s" .)) -}}
{{- end -}}
{{- else -}}
{{- $bytes := splitList "." . -}}
{{- $groups = list (add (mul 256 (index $bytes 0)) (index $bytes 1)) (add (mul 256 (index $bytes 2)) (index $bytes 3)) -}}
{{- end -}}
{{- $groups | toJson -}}
{{- end -}}

{{/* Whether the peer exists: the unused kind of edge and a peer without a host do not. */}}
{{- define "common.hasPeer" -}}
{{- $values := .root.Values -}}
{{- $peer := index $values.global.peers .name -}}
{{- if not $peer -}}
{{- fail (printf "global.peers has no %s" .name) -}}
{{- end -}}
{{- if eq .name "gateway" -}}
{{- if or (include "common.isMeshed" .root) $values.global.gatewayApi.enabled -}}true{{- end -}}
{{- else if eq .name "ingress" -}}
{{- if dig "ingress" "enabled" false $values -}}true{{- end -}}
{{- else if or (not (hasKey $peer "host")) $peer.host -}}true{{- end -}}
{{- end -}}

{{/* Those locations of a peer that are of a kind, `string` or `map`, as a JSON list. Takes root, name and kind. */}}
{{- define "common.locationsOf" -}}
{{- $found := list -}}
{{- range include "common.locations" . | fromJsonArray -}}
{{- if kindIs $.kind . -}}
{{- $found = append $found . -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* Networks of a peer, and sets of its pods, as JSON lists. Take root and name. */}}
{{- define "common.networks" -}}
{{- include "common.locationsOf" (merge (dict "kind" "string") .) -}}
{{- end -}}

{{- define "common.pods" -}}
{{- include "common.locationsOf" (merge (dict "kind" "map") .) -}}
{{- end -}}

{{/*
"true" if the mesh must be told of the peer's host, because it is outside the cluster. A peer at networks
and at pods is inside if its host is a Service's. Takes root and name.
*/}}
{{- define "common.isExternal" -}}
{{- $host := (index .root.Values.global.peers .name).host | default "" -}}
{{- $isService := hasSuffix (printf ".svc.%s" .root.Values.global.mesh.clusterDomain) $host -}}
{{- $hasPods := include "common.pods" . | fromJsonArray | empty | not -}}
{{- if and $host (include "common.networks" . | fromJsonArray) (not (and $isService $hasPods)) -}}true{{- end -}}
{{- end -}}

{{/* "true" if the host of a peer is an address. */}}
{{- define "common.hostIsAddress" -}}
{{- if regexMatch "^[0-9.]+$|:" (.host | default "") -}}true{{- end -}}
{{- end -}}

{{/* The name of an external peer in the mesh: its host, or one of its own for an address. Takes root and name. */}}
{{- define "common.externalHost" -}}
{{- $peer := index .root.Values.global.peers .name -}}
{{- if include "common.hostIsAddress" $peer -}}
{{ lower .name }}.peers.internal
{{- else -}}
{{ $peer.host }}
{{- end -}}
{{- end -}}

{{/* The peer in a Sidecar, as `namespace/host`; empty without a host or a location. Takes root and name. */}}
{{- define "common.sidecarHost" -}}
{{- $peer := index .root.Values.global.peers .name -}}
{{- if include "common.isExternal" . -}}
./{{ include "common.externalHost" . }}
{{- else if $peer.host -}}
{{- with include "common.pods" . | fromJsonArray | first -}}
{{ .namespace }}/{{ $peer.host }}
{{- end -}}
{{- end -}}
{{- end -}}
