import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.x509.AccessDescription;
import org.bouncycastle.asn1.x509.AuthorityInformationAccess;
import org.bouncycastle.asn1.x509.AuthorityKeyIdentifier;
import org.bouncycastle.asn1.x509.CRLDistPoint;
import org.bouncycastle.asn1.x509.DistributionPoint;
import org.bouncycastle.asn1.x509.DistributionPointName;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.Extensions;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;

/** Prints a certificate as BouncyCastle reads it. */
final class CertificatePrint {
    private static final String[] KEY_USAGE = {"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
        "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"};

    private CertificatePrint() {}

    /** cert, and issuer if the signature is to be verified. */
    static Object perform(Arguments a) throws Exception {
        X509Certificate c = a.certificate("cert");
        if (!a.all("issuer").isEmpty()) c.verify(a.certificate("issuer").getPublicKey(), "BC");
        JcaX509CertificateHolder holder = new JcaX509CertificateHolder(c);
        Signature501.require(holder.toASN1Structure().getTBSCertificate().getSignature(), holder.getSignatureAlgorithm());
        Map<String, Object> r = new LinkedHashMap<>();
        r.put("subject", c.getSubjectX500Principal().getName());
        r.put("issuer", c.getIssuerX500Principal().getName());
        r.put("serial", c.getSerialNumber().toString(16));
        r.put("notBefore", c.getNotBefore());
        r.put("notAfter", c.getNotAfter());
        SubjectPublicKeyInfo key = holder.getSubjectPublicKeyInfo();
        r.put("keyAlgorithm", key.getAlgorithm().getAlgorithm().getId());
        r.put("keyParameters", key.getAlgorithm().getParameters() instanceof ASN1ObjectIdentifier ? key.getAlgorithm().getParameters().toString() : "");
        r.put("publicKey", key.getPublicKeyData().getBytes());
        r.put("isCA", c.getBasicConstraints() >= 0);
        r.put("pathLength", c.getBasicConstraints() == Integer.MAX_VALUE ? -1 : c.getBasicConstraints());
        r.put("keyUsage", keyUsage(c.getKeyUsage()));
        r.put("extendedKeyUsage", c.getExtendedKeyUsage() == null ? List.of() : c.getExtendedKeyUsage());
        extensions(r, holder.getExtensions());
        return r;
    }

    private static void extensions(Map<String, Object> r, Extensions all) throws Exception {
        Map<String, Object> raw = new LinkedHashMap<>();
        List<Object> critical = new ArrayList<>();
        if (all != null) {
            SubjectKeyIdentifier ski = SubjectKeyIdentifier.fromExtensions(all);
            r.put("subjectKeyIdentifier", ski == null ? "" : ski.getKeyIdentifier());
            AuthorityKeyIdentifier aki = AuthorityKeyIdentifier.fromExtensions(all);
            r.put("authorityKeyIdentifier", aki == null || aki.getKeyIdentifier() == null ? "" : aki.getKeyIdentifier());
            List<Object> lists = new ArrayList<>();
            if (all.getExtension(Extension.cRLDistributionPoints) != null)
                for (DistributionPoint p : CRLDistPoint.getInstance(all.getExtensionParsedValue(Extension.cRLDistributionPoints)).getDistributionPoints()) lists.addAll(urls(p.getDistributionPoint()));
            r.put("crlDistributionPoints", lists);
            r.put("ocspServers", access(all, AccessDescription.id_ad_ocsp));
            r.put("caIssuers", access(all, AccessDescription.id_ad_caIssuers));
            for (ASN1ObjectIdentifier oid : all.getExtensionOIDs()) {
                raw.put(oid.getId(), all.getExtension(oid).getExtnValue().getOctets());
                if (all.getExtension(oid).isCritical()) critical.add(oid.getId());
            }
        }
        r.put("extensions", raw);
        r.put("critical", critical);
    }

    private static List<Object> keyUsage(boolean[] bits) {
        List<Object> names = new ArrayList<>();
        for (int i = 0; bits != null && i < bits.length && i < KEY_USAGE.length; i++) if (bits[i]) names.add(KEY_USAGE[i]);
        return names;
    }

    private static List<Object> access(Extensions all, ASN1ObjectIdentifier method) {
        List<Object> urls = new ArrayList<>();
        AuthorityInformationAccess aia = AuthorityInformationAccess.fromExtensions(all);
        if (aia == null) return urls;
        for (AccessDescription d : aia.getAccessDescriptions())
            if (d.getAccessMethod().equals(method)) urls.add(d.getAccessLocation().getName().toString());
        return urls;
    }

    static List<Object> urls(DistributionPointName point) {
        List<Object> urls = new ArrayList<>();
        if (point == null || point.getType() != DistributionPointName.FULL_NAME) return urls;
        for (GeneralName n : GeneralNames.getInstance(point.getName()).getNames())
            if (n.getTagNo() == GeneralName.uniformResourceIdentifier) urls.add(n.getName().toString());
        return urls;
    }
}
