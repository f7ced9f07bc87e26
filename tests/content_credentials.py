"""Media with Content Credentials, signed by a certificate that the test makes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def sign_media(source: Path, target: Path, *assertions: dict[str, Any]) -> Path:
    """A copy of an mp4 with a manifest of these assertions."""
    key, authority = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = certify("signer", key, authority) + certify("authority", authority, authority)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    settings = c2pa.Settings.from_dict({"verify": {"verify_after_sign": False}})
    told = {"claim_generator_info": [{"name": "test", "version": "1"}], "assertions": list(assertions)}
    with (
        c2pa.Context(settings) as context,
        c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, private, None)) as signer,
        c2pa.Builder(told, context=context) as builder,
    ):
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)  # what the source says of itself stays, as of an ingredient
        builder.sign_file(str(source), str(target), signer)
    return target


def certify(name: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate as C2PA asks for them, by an authority, which may be its own."""
    subject, issuer = (
        x509.Name([x509.NameAttribute(kind, one) for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)])
        for one in (name, "authority")
    )
    is_authority, now = key is authority, datetime.now(UTC)
    uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    more = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    allowed = {use: use == ("key_cert_sign" if is_authority else "digital_signature") for use in (*uses, *more)}
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.KeyUsage(**allowed), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)


def training(label: str = "cawg.training-mining", **uses: str) -> dict[str, Any]:
    """An assertion: what is said of each use."""
    by = label.partition(".")[0]
    return {"label": label, "data": {"entries": {f"{by}.{use}": {"use": said} for use, said in uses.items()}}}
