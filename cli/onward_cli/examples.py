"""How commands are typed: shown at the end of their `--help`, and in docs/cli.md. The tests parse every line."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "init": ("worker init shop", "worker init . --name shop"),
    "run": (
        "worker run app:functions",
        "worker run shop.app:functions billing.app:functions --concurrency 50",
        "worker run app:functions --url https://onward.example.com --token-file /run/secrets/token",
        "worker run app:functions --processes 4 --max-memory 512M",
        "worker run app:functions --burst --max-runtime 10m",
    ),
    "dev": ("worker dev app:functions", "worker dev app:functions --port 0 --no-reload"),
    "engine start": (
        "worker engine start",
        "worker engine start --db /data/onward.db --host 0.0.0.0",
        "worker engine start --db postgresql://onward@db.example.com/onward --retention 90d",
    ),
    "engine backup": ("worker engine backup /backups/onward.db",),
    "engine check": ("worker engine check --db /data/onward.db",),
    "engine migrate": ("worker engine migrate --db /data/onward.db",),
    "engine promote": ("worker engine promote --to postgresql://onward@db.example.com/onward",),
    "send": (
        'worker send shop/order.placed \'{"id": "o1", "total": 12}\'',
        "worker send shop/order.placed @order.json --id order-1",
        "worker send shop/reminder --delay 2h",
    ),
    "events list": ("worker events list --name 'shop/*' --since 1h", "worker events list -o jsonl"),
    "events show": ("worker events show evt_01a2",),
    "events take-back": ("worker events take-back evt_01a2",),
    "runs list": (
        "worker runs list --status failed,cancelled --function shop/order --since 2h",
        "worker runs list --tag customer=ann --where 'run.output.total > 10'",
        "worker runs list --status running --watch",
    ),
    "runs show": ("worker runs show run_01a2", "worker runs show run_01a2 -o json"),
    "runs wait": ("worker runs wait run_01a2 --timeout 5m",),
    "runs tail": ("worker runs tail run_01a2",),
    "runs trace": ("worker runs trace run_01a2",),
    "runs why": ("worker runs why run_01a2",),
    "runs export": ("worker runs export --since 1d",),
    "runs cancel": (
        "worker runs cancel run_01a2 --reason 'ordered twice'",
        "worker runs cancel --function shop/import --status parked --yes",
    ),
    "runs rerun": ("worker runs rerun run_01a2", "worker runs rerun --status failed --since 1d --yes"),
    "runs fork": ("worker runs fork run_01a2 --from charge",),
    "runs pause": ("worker runs pause run_01a2",),
    "runs resume": ("worker runs resume run_01a2",),
    "functions list": ("worker functions list",),
    "functions show": ("worker functions show shop/order",),
    "functions invoke": ('worker functions invoke shop/order \'{"id": "o1"}\' --wait',),
    "functions pause": ("worker functions pause shop/order",),
    "functions resume": ("worker functions resume shop/order",),
    "queues show": ("worker queues show shop/order",),
    "queues keys": ("worker queues keys shop/order",),
    "queues purge": ("worker queues purge shop/order --yes",),
    "queues set-limit": (
        "worker queues set-limit shop/order concurrency 5",
        "worker queues set-limit shop/order concurrency --reset",
    ),
    "schedules list": ("worker schedules list",),
    "schedules pause": ("worker schedules pause shop/report",),
    "schedules resume": ("worker schedules resume shop/report",),
    "schedules backfill": ("worker schedules backfill shop/report --since 2d --yes",),
    "signals send": ("worker signals send approved true --run run_01a2",),
    "workers list": ("worker workers list --watch",),
    "doctor": (
        "worker doctor",
        "worker doctor --url https://onward.example.com --token-file /run/secrets/token --idle 70s",
        "worker doctor --json",
    ),
    "probe": ("worker probe live", "worker probe ready"),
    "config show": ("worker config show", "worker config show --origin"),
    "errors": ("worker errors E0412", "worker errors StepTimeout", "worker errors"),
    "completion": (
        'eval "$(worker completion bash)"  # in ~/.bashrc',
        'eval "$(worker completion zsh)"  # in ~/.zshrc',
        "worker completion fish > ~/.config/fish/completions/worker.fish",
    ),
}
"""By the command's path, without `worker`."""
