# SPDX-License-Identifier: Apache-2.0
"""Who may speak to whom in a fleet: an authority made for it, and by it a certificate a host, and the control plane's.

The authority's key is used here and never written: nobody can issue a further certificate, and another fleet has
another authority.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from policy_lake.files import atomic_write

AUTHORITY, CONTROL = "ca", "control-plane"
CERTIFICATE, KEY = ".pem", ".key"
VALID = timedelta(days=3650)
EARLIER = timedelta(days=1)  # a host's clock may be a little behind


def make_certificates(directory: Path, hosts: Iterable[str]) -> None:
    """Fill the directory, in one step: `ca.pem`, and NAME.pem and NAME.key of each host and of the control plane."""
    part = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for name, content in _issue([CONTROL, *hosts]).items():
        atomic_write(part / name, content, mode=0o600)
    part.rename(directory)


def _issue(names: Iterable[str]) -> dict[str, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.now(UTC)

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def signed(name: str, public: ec.EllipticCurvePublicKey, authority: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(AUTHORITY))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - EARLIER)
            .not_valid_after(now + VALID)
            .add_extension(x509.BasicConstraints(authority, 0 if authority else None), critical=True)
        )
        if not authority:
            # What a host shows is worth nothing to another host, and what the control plane shows is no host's.
            usage = ExtendedKeyUsageOID.CLIENT_AUTH if name == CONTROL else ExtendedKeyUsageOID.SERVER_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(root, hashes.SHA256()).public_bytes(Encoding.PEM)

    root = ec.generate_private_key(ec.SECP256R1())
    files = {f"{AUTHORITY}{CERTIFICATE}": signed(AUTHORITY, root.public_key(), True)}
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        files[f"{name}{CERTIFICATE}"] = signed(name, key.public_key(), False)
        files[f"{name}{KEY}"] = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return files
