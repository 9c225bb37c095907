import java.io.StringWriter;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.SecureRandom;
import java.util.Map;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERPrintableString;
import org.bouncycastle.asn1.gm.GMObjectIdentifiers;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.ocsp.OCSPObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.Extensions;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;
import org.bouncycastle.cert.ocsp.CertificateID;
import org.bouncycastle.cert.ocsp.OCSPReqBuilder;
import org.bouncycastle.jce.spec.ECNamedCurveGenParameterSpec;
import org.bouncycastle.operator.DigestCalculator;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequestBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;
import org.bouncycastle.util.io.pem.PemObject;
import org.bouncycastle.util.io.pem.PemWriter;

/** Makes the requests of a client that is not ours. */
final class RequestMaker {
    private static final int NONCE_BYTES = 32; // RFC 9654

    private RequestMaker() {}

    /** issuer, serial+ (hexadecimal), hash (sha1, sha256, sm3), nonce (true, false). */
    static Object ocspRequest(Arguments a) throws Exception {
        X509CertificateHolder issuer = new JcaX509CertificateHolder(a.certificate("issuer"));
        DigestCalculator digest = new JcaDigestCalculatorProviderBuilder().setProvider("BC").build().get(hash(a.one("hash")));
        OCSPReqBuilder builder = new OCSPReqBuilder();
        for (String serial : a.all("serial")) builder.addRequest(new CertificateID(digest, issuer, new BigInteger(serial, 16)));
        if (Boolean.parseBoolean(a.one("nonce"))) {
            byte[] nonce = new byte[NONCE_BYTES];
            new SecureRandom().nextBytes(nonce);
            builder.setRequestExtensions(new Extensions(new Extension(OCSPObjectIdentifiers.id_pkix_ocsp_nonce, false, new DEROctetString(nonce).getEncoded())));
        }
        return Map.of("der", builder.build().getEncoded());
    }

    private static AlgorithmIdentifier hash(String name) throws Refusal {
        ASN1ObjectIdentifier oid;
        switch (name) {
            case "sha1": return CertificateID.HASH_SHA1;
            case "sha256": oid = NISTObjectIdentifiers.id_sha256; break;
            case "sm3": oid = GMObjectIdentifiers.sm3; break;
            default: throw new Refusal("no hash " + name + "; there are sha1, sha256 and sm3");
        }
        return new AlgorithmIdentifier(oid);
    }

    /** subject, key: the file to create for the private key, PKCS#8 PEM; password: the challengePassword of GM/T 0092, if any. */
    static Object certificateRequest(Arguments a) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "BC");
        generator.initialize(new ECNamedCurveGenParameterSpec("sm2p256v1"));
        KeyPair pair = generator.generateKeyPair();
        PKCS10CertificationRequestBuilder builder = new JcaPKCS10CertificationRequestBuilder(new X500Name(a.one("subject")), pair.getPublic());
        for (String password : a.all("password")) builder.addAttribute(PKCSObjectIdentifiers.pkcs_9_at_challengePassword, new DERPrintableString(password, true));
        byte[] csr = builder.build(new JcaContentSignerBuilder("SM3withSM2").setProvider("BC").build(pair.getPrivate())).getEncoded();
        Path key = Path.of(a.one("key"));
        Files.createFile(key, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        Files.write(key, pem("PRIVATE KEY", pair.getPrivate().getEncoded()).getBytes(StandardCharsets.US_ASCII));
        return Map.of("pem", pem("CERTIFICATE REQUEST", csr));
    }

    private static String pem(String type, byte[] der) throws Exception {
        StringWriter text = new StringWriter();
        try (PemWriter writer = new PemWriter(text)) {
            writer.writeObject(new PemObject(type, der));
        }
        return text.toString();
    }
}
