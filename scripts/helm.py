"""Helm's own library behind the few commands that this repository uses, spelt as `helm` spells them."""

import argparse
import json
import os
import sys

from helm_python import Chart, Config, HelmError, lint, parse_set_string, values_from_yaml


def read_values(path):
    if path is None:
        return {}
    with open(path, encoding="utf-8") as file:
        return values_from_yaml(file.read())


def merge(values, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            merge(values[key], value)
        else:
            values[key] = value
    return values


def values_of(arguments):
    # As one expression: several may fill fields of one element of a list.
    return merge(read_values(arguments.values), parse_set_string(",".join(arguments.set or [])))


def run_lint(arguments):
    report = lint(arguments.chart, values_of(arguments), strict=arguments.strict)
    severities = ["unknown", "info", "warning", "error"]
    for message in report["messages"]:
        print(f'[{severities[message["severity"]]}] {message["path"]}: {message["error"]}')
    findings = [message for message in report["messages"] if message["severity"] > 1]
    for error in report["errors"]:
        print(error, file=sys.stderr)
    return 1 if findings or report["errors"] else 0


def run_template(arguments):
    chart = Chart.load(arguments.chart)
    values = values_of(arguments)
    chart.validate_schema(chart.merge_values(values))
    rendered = chart.render(values, name=arguments.name, namespace=arguments.namespace, is_install=True)
    for path, manifest in sorted(rendered.items()):
        if path.endswith((".yaml", ".yml")) and manifest.strip():
            print(f"---\n# Source: {path}\n{manifest.strip()}")
    return 0


def run_install(arguments):
    with Config(kubeconfig_path=arguments.kubeconfig, namespace=arguments.namespace) as config:
        release = config.install(
            arguments.chart,
            arguments.name,
            values_of(arguments),
            namespace=arguments.namespace,
            create_namespace=arguments.create_namespace,
            wait="watcher" if arguments.wait else None,
            timeout=arguments.timeout,
        )
    print(release.get("notes") or json.dumps({key: release.get(key) for key in ("name", "status")}))
    return 0


def run_upgrade(arguments):
    with Config(kubeconfig_path=arguments.kubeconfig, namespace=arguments.namespace) as config:
        config.upgrade(
            arguments.chart, arguments.name, values_of(arguments), namespace=arguments.namespace
        )
    return 0


def run_rollback(arguments):
    with Config(kubeconfig_path=arguments.kubeconfig, namespace=arguments.namespace) as config:
        config.rollback(arguments.name, version=arguments.revision)
    return 0


def run_test(arguments):
    with Config(kubeconfig_path=arguments.kubeconfig, namespace=arguments.namespace) as config:
        result = config.test(arguments.name, timeout=arguments.timeout, logs=arguments.logs)
    print(result.get("logs") or json.dumps(result, default=str))
    return 0


def run_uninstall(arguments):
    with Config(kubeconfig_path=arguments.kubeconfig, namespace=arguments.namespace) as config:
        config.uninstall(arguments.name)
    return 0


def main():
    parser = argparse.ArgumentParser(prog="helm")
    commands = parser.add_subparsers(required=True)
    for name, run in [
        ("lint", run_lint),
        ("template", run_template),
        ("install", run_install),
        ("upgrade", run_upgrade),
        ("rollback", run_rollback),
        ("test", run_test),
        ("uninstall", run_uninstall),
    ]:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        if name == "lint":
            command.add_argument("--strict", action="store_true")
        else:
            command.add_argument("name")
            command.add_argument("--namespace", default="default")
        if name == "rollback":
            command.add_argument("revision", nargs="?", type=int)
        if name in ("lint", "template", "install", "upgrade"):
            command.add_argument("chart")
            command.add_argument("--values")
            command.add_argument("--set", action="append")
        if name in ("install", "upgrade", "rollback", "test", "uninstall"):
            command.add_argument("--kubeconfig", default=os.environ.get("KUBECONFIG"))
        if name == "test":
            command.add_argument("--logs", action="store_true")
        if name == "install":
            command.add_argument("--create-namespace", action="store_true")
            command.add_argument("--wait", action="store_true")
        if name in ("install", "test"):
            command.add_argument("--timeout", type=lambda text: int(text.removesuffix("s")), default=300)
    arguments = parser.parse_args()
    try:
        return arguments.run(arguments)
    except (HelmError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
