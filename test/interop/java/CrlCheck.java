import java.math.BigInteger;
import java.security.cert.X509CRL;
import java.security.cert.X509CRLEntry;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bouncycastle.asn1.ASN1Enumerated;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.x509.AuthorityKeyIdentifier;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.IssuingDistributionPoint;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.cert.X509CRLHolder;
import org.bouncycastle.cert.jcajce.JcaX509ExtensionUtils;

/** Verifies a list with its issuer's certificate and prints what it says, RFC 5280 section 5. */
final class CrlCheck {
    private static final String[] REASONS = {"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
        "cessationOfOperation", "certificateHold", "7", "removeFromCRL", "privilegeWithdrawn", "aACompromise"};
    private static final int KEY_USAGE_CRL_SIGN = 6;

    private CrlCheck() {}

    static String reason(int code) { return code >= 0 && code < REASONS.length ? REASONS[code] : Integer.toString(code); }

    /** issuer, crl, at. */
    static Object perform(Arguments a) throws Exception {
        X509Certificate issuer = a.certificate("issuer");
        X509CRL crl = Arguments.list(a.file("crl"));
        X509CRLHolder holder = new X509CRLHolder(crl.getEncoded());
        crl.verify(issuer.getPublicKey(), "BC");
        Signature501.require(holder.toASN1Structure().getTBSCertList().getSignature(), holder.toASN1Structure().getSignatureAlgorithm());
        if (!Arrays.equals(crl.getIssuerX500Principal().getEncoded(), issuer.getSubjectX500Principal().getEncoded())) throw new Refusal("the list's issuer is not the subject of the issuer's certificate, byte for byte");
        if (issuer.getKeyUsage() == null || !issuer.getKeyUsage()[KEY_USAGE_CRL_SIGN]) throw new Refusal("the issuer's certificate has no keyUsage cRLSign");
        requireKeyIdentifier(crl, issuer);
        if (crl.getNextUpdate() == null) throw new Refusal("the list has no nextUpdate");
        Date at = a.at();
        if (crl.getThisUpdate().after(at)) throw new Refusal("the list is not yet valid: thisUpdate " + crl.getThisUpdate().toInstant());
        if (!crl.getNextUpdate().after(at)) throw new Refusal("the list is expired: nextUpdate " + crl.getNextUpdate().toInstant());

        Map<String, Object> result = new LinkedHashMap<>();
        result.put("issuer", crl.getIssuerX500Principal().getName());
        BigInteger number = integer(crl.getExtensionValue(Extension.cRLNumber.getId()));
        if (number == null) throw new Refusal("the list has no cRLNumber");
        result.put("number", number.toString());
        BigInteger base = integer(crl.getExtensionValue(Extension.deltaCRLIndicator.getId()));
        result.put("baseNumber", base == null ? "" : base.toString());
        result.put("thisUpdate", crl.getThisUpdate());
        result.put("nextUpdate", crl.getNextUpdate());
        result.put("distributionPoint", distributionPoint(holder));
        List<Object> entries = new ArrayList<>();
        if (crl.getRevokedCertificates() != null) for (X509CRLEntry e : crl.getRevokedCertificates()) entries.add(entry(e));
        result.put("entries", entries);
        return result;
    }

    private static void requireKeyIdentifier(X509CRL crl, X509Certificate issuer) throws Exception {
        byte[] aki = crl.getExtensionValue(Extension.authorityKeyIdentifier.getId());
        byte[] ski = issuer.getExtensionValue(Extension.subjectKeyIdentifier.getId());
        if (aki == null || ski == null) throw new Refusal("the list has no authorityKeyIdentifier or its issuer no subjectKeyIdentifier");
        byte[] want = SubjectKeyIdentifier.getInstance(JcaX509ExtensionUtils.parseExtensionValue(ski)).getKeyIdentifier();
        byte[] got = AuthorityKeyIdentifier.getInstance(JcaX509ExtensionUtils.parseExtensionValue(aki)).getKeyIdentifier();
        if (!Arrays.equals(want, got)) throw new Refusal("the list's authorityKeyIdentifier is not the issuer's subjectKeyIdentifier");
    }

    private static BigInteger integer(byte[] extension) throws Exception {
        return extension == null ? null : ASN1Integer.getInstance(JcaX509ExtensionUtils.parseExtensionValue(extension)).getValue();
    }

    private static Object distributionPoint(X509CRLHolder crl) {
        Extension extension = crl.getExtension(Extension.issuingDistributionPoint);
        if (extension == null) return null;
        IssuingDistributionPoint idp = IssuingDistributionPoint.getInstance(extension.getParsedValue());
        Map<String, Object> point = new LinkedHashMap<>();
        point.put("critical", extension.isCritical());
        point.put("urls", CertificatePrint.urls(idp.getDistributionPoint()));
        point.put("onlyUserCerts", idp.onlyContainsUserCerts());
        point.put("onlyCACerts", idp.onlyContainsCACerts());
        point.put("indirect", idp.isIndirectCRL());
        return point;
    }

    private static Object entry(X509CRLEntry e) throws Exception {
        Map<String, Object> entry = new LinkedHashMap<>();
        entry.put("serial", e.getSerialNumber().toString(16));
        entry.put("revokedAt", e.getRevocationDate());
        byte[] reason = e.getExtensionValue(Extension.reasonCode.getId());
        entry.put("reason", reason == null ? "" : reason(ASN1Enumerated.getInstance(JcaX509ExtensionUtils.parseExtensionValue(reason)).intValueExact()));
        return entry;
    }
}
