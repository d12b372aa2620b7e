# A node in namespaces of its own: what it mounts, listens on and runs is gone with this process.
# Arguments: its directory, the directory of CNI's plugins, containerd, ctr, kubelet.
set -eu
cd "$1"
cni=$2 containerd=$3 ctr=$4 kubelet=$5

# Directories that have no option of their own.
for directory in /run /var/lib/cni /var/log/containers; do
  mkdir -p "$directory"
  mount -t tmpfs tmpfs "$directory"
done
mkdir -p /run/netns
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

"$containerd" --config containerd.toml >containerd.log 2>&1 &
for _ in $(seq 300); do
  "$ctr" --address /run/containerd.sock version >/dev/null 2>&1 && break
  sleep 0.1
done
for archive in images/*.tar; do
  "$ctr" --address /run/containerd.sock --namespace k8s.io images import "$archive"
done

PATH=$PATH:$cni exec "$kubelet" --config=kubelet.yaml --kubeconfig="$1/kubelet.kubeconfig" --hostname-override=node \
  --root-dir="$1/kubelet" --cert-dir="$1/kubelet-certs" --v=1
