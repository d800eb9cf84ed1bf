"""A simulator in a process and a project of its own, and what is in a new one.

The identifiers are those of `host/simulator/src/seed.rs`.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]

TENANT = "11111111-2222-4333-8444-555555555555"
SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-data"
WORKSPACE = "https://adb-4242424242424242.2.azuredatabricks.net"
WORKSPACE_RESOURCE = f"{GROUP}/providers/Microsoft.Databricks/workspaces/dbw-demo"
ACCOUNT = "aaaaaaaa-0000-4000-8000-00000000acc0"
OPERATOR_CLIENT = "0a0a0a0a-0000-4000-8000-000000000002"
OPERATOR_PRINCIPAL = "0a0a0a0a-0000-4000-8000-000000000003"
DATABRICKS_PRINCIPAL = "0b0b0b0b-0000-4000-8000-000000000001"
WAREHOUSE = "d0c0ffee00000001"
BOB = "bob@contoso.com"

ROLES = {
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
}


def vault_id(name: str) -> str:
    return f"{GROUP}/providers/Microsoft.KeyVault/vaults/{name}"


def storage_id(name: str) -> str:
    return f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{name}"


class Simulator:
    """`lockkeeper sim start` in an empty folder; `ca` is the file to trust."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self._folder.name)
        keys = folder / "keys"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LOCKKEEPER_KEYS": str(keys),
            "NO_COLOR": "1",
        }
        self._process = subprocess.Popen(
            [ROOT / "target/debug/lockkeeper", "sim", "start", "--output", "json"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        serving = self._first_document()
        self.http = serving["http"]
        self.https = serving["https"]
        self.ca = folder / "ca.pem"
        self.ca.write_text(serving["ca_pem"])
        (secret,) = keys.glob("*/simulator-operator.key")
        self.operator_secret = secret.read_bytes().hex()

    def _first_document(self) -> dict:
        text = ""
        for line in self._process.stdout:
            text += line
            if line == "}\n":
                return json.loads(text)
        raise RuntimeError(f"the simulator ended with {self._process.wait()} before it served")

    def control(self, method: str, path: str, body=None):
        """Asks the control surface, `/__simulator/{path}`."""
        request = urllib.request.Request(
            f"http://{self.http}/__simulator/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()
