import java.security.cert.CertPath;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertStore;
import java.security.cert.CertificateRevokedException;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.PKIXCertPathBuilderResult;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Builds and validates a certification path, RFC 5280 section 6, with revocation from the given lists alone. */
final class PathCheck {
    private PathCheck() {}

    /** root, leaf, intermediate* in any order, crl*, at. */
    static Object perform(Arguments a) throws Exception {
        X509Certificate leaf = a.certificate("leaf");
        Set<TrustAnchor> anchors = Set.of(new TrustAnchor(a.certificate("root"), null));
        List<Object> known = new ArrayList<>(a.certificates("intermediate"));
        known.add(leaf);
        known.addAll(a.lists("crl"));
        CertStore store = CertStore.getInstance("Collection", new CollectionCertStoreParameters(known), "BC");

        // Building and judging are two steps: the builder would hide the reason of
        // a refusal behind "unable to find certificate chain".
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(leaf);
        PKIXBuilderParameters building = new PKIXBuilderParameters(anchors, target);
        building.setRevocationEnabled(false);
        building.setDate(a.at());
        building.addCertStore(store);
        CertPath path = ((PKIXCertPathBuilderResult) CertPathBuilder.getInstance("PKIX", "BC").build(building)).getCertPath();

        CertPathValidator validator = CertPathValidator.getInstance("PKIX", "BC");
        // The lists decide: no fallback to a responder named in the certificate.
        PKIXRevocationChecker revocation = (PKIXRevocationChecker) validator.getRevocationChecker();
        revocation.setOptions(EnumSet.of(PKIXRevocationChecker.Option.PREFER_CRLS, PKIXRevocationChecker.Option.NO_FALLBACK));
        PKIXParameters judging = new PKIXParameters(anchors);
        judging.setRevocationEnabled(true);
        judging.addCertPathChecker(revocation);
        judging.setDate(a.at());
        judging.addCertStore(store);
        try {
            validator.validate(path, judging);
        } catch (CertPathValidatorException e) {
            throw refusal(path, e);
        }
        List<Object> subjects = new ArrayList<>();
        for (Object c : path.getCertificates()) subjects.add(((X509Certificate) c).getSubjectX500Principal().getName());
        return Map.of("subjects", subjects);
    }

    private static Exception refusal(CertPath path, CertPathValidatorException e) {
        String reasons = Refusal.reasons(e);
        boolean revoked = reasons.contains("Certificate revocation after");
        for (Throwable c = e; c != null; c = c.getCause()) revoked |= c instanceof CertificateRevokedException;
        if (!revoked || e.getIndex() < 0) return new Refusal("certificate " + e.getIndex() + " of the path: " + reasons);
        X509Certificate certificate = (X509Certificate) path.getCertificates().get(e.getIndex());
        Map<String, Object> detail = new LinkedHashMap<>();
        detail.put("serial", certificate.getSerialNumber().toString(16));
        detail.put("index", e.getIndex());
        return new Refusal("revoked", reasons, detail);
    }
}
