#!/bin/bash
# A Ray cluster on the nodes of a Slurm allocation, for as long as one command runs on the first of them:
#
#   sbatch --nodes=4 --ntasks-per-node=1 --cpus-per-task=64 --gpus-per-node=4 deploy/slurm.sh \
#       .venv/bin/python -m flows featurize --config my.toml --set run.runner=ray --set run.featurize_cpus=16
#
# Prefect's server is that of PREFECT_API_URL; without one it runs beside the command, behind a password of this job's.
# Whoever reaches Ray's port runs what they like on the nodes: it is for a network that only the cluster is in.
set -euo pipefail
: "${SLURM_JOB_ID:?runs inside an allocation: sbatch deploy/slurm.sh COMMAND}"
[ "$#" -gt 0 ] || { echo "error: name the command to run: deploy/slurm.sh COMMAND" >&2; exit 2; }
PATH="$(cd "$(dirname "$1")" 2>/dev/null && pwd):$PATH" # ray and prefect beside the command's python

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_ADDRESS="${nodes[0]}:$port" RAY_USAGE_STATS_ENABLED=0 RAY_USAGE_STATS_REPORT_URL=none
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT # srun takes its nodes' processes with it

if [ -z "${PREFECT_API_URL:-}" ]; then
    password="curation:$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
    export PREFECT_SERVER_API_AUTH_STRING="$password" PREFECT_API_AUTH_STRING="$password"
    export PREFECT_API_URL="http://${nodes[0]}:$((port + 1))/api"
    export PREFECT_SERVER_ANALYTICS_ENABLED=false
    prefect server start --host "${nodes[0]}" --port "$((port + 1))" &
fi

start=(ray start --block --num-cpus="${SLURM_CPUS_PER_TASK:-$(nproc)}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}")
srun --overlap --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" "${start[@]}" --head --port="$port" &
for _ in $(seq 60); do
    ray status --address "$RAY_ADDRESS" >/dev/null 2>&1 && break
    sleep 2
done
if [ "${#nodes[@]}" -gt 1 ]; then
    srun --overlap --nodes="$((${#nodes[@]} - 1))" --ntasks-per-node=1 --exclude="${nodes[0]}" \
        "${start[@]}" --address="$RAY_ADDRESS" &
fi
"$@"
