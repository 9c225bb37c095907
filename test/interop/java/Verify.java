import java.io.*;
import java.nio.file.*;
import java.security.Security;
import java.security.cert.*;
import java.util.*;
import org.bouncycastle.asn1.ocsp.OCSPObjectIdentifiers;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.ocsp.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.*;

/** Verifies what Terrace makes with BouncyCastle. Exit 0: verified. */
public class Verify {
    static final String BC = "BC";

    public static void main(String[] args) {
        Security.addProvider(new BouncyCastleProvider());
        try {
            List<byte[]> files = new ArrayList<>();
            for (int i = 1; i < args.length; i++) files.add(Files.readAllBytes(Path.of(args[i])));
            switch (args[0]) {
                case "path": path(files); break;
                case "crl": crl(files); break;
                case "ocsp": ocsp(files); break;
                default: throw new IllegalArgumentException(args[0]);
            }
        } catch (Throwable t) {
            for (Throwable c = t; c != null; c = c.getCause()) System.err.println(c);
            System.exit(1);
        }
    }

    static X509Certificate certificate(byte[] b) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509", BC).generateCertificate(new ByteArrayInputStream(b));
    }

    static X509CRL list(byte[] b) throws Exception {
        return (X509CRL) CertificateFactory.getInstance("X.509", BC).generateCRL(new ByteArrayInputStream(b));
    }

    /** number of issuers, leaf, issuers (issuer first, root last), CRLs. */
    static void path(List<byte[]> f) throws Exception {
        int above = Integer.parseInt(new String(f.get(0)));
        List<X509Certificate> chain = new ArrayList<>();
        for (int i = 1; i <= above; i++) chain.add(certificate(f.get(i)));
        X509Certificate root = certificate(f.get(above + 1));
        List<X509CRL> crls = new ArrayList<>();
        for (int i = above + 2; i < f.size(); i++) crls.add(list(f.get(i)));
        PKIXParameters p = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
        p.setRevocationEnabled(true);
        List<Object> store = new ArrayList<>(crls);
        store.addAll(chain);
        p.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(store), BC));
        CertPath path = CertificateFactory.getInstance("X.509", BC).generateCertPath(chain);
        CertPathValidator.getInstance("PKIX", BC).validate(path, p);
        System.out.println("valid");
    }

    /** issuer, list. */
    static void crl(List<byte[]> f) throws Exception {
        X509CRL crl = list(f.get(1));
        crl.verify(certificate(f.get(0)).getPublicKey(), BC);
        Date now = new Date();
        if (crl.getThisUpdate().after(now) || crl.getNextUpdate().before(now)) throw new Exception("list is not current");
        if (crl.getExtensionValue(Extension.cRLNumber.getId()) == null) throw new Exception("list has no number");
        if (crl.getExtensionValue(Extension.authorityKeyIdentifier.getId()) == null) throw new Exception("list has no authority key identifier");
        if (crl.getRevokedCertificates() == null) return;
        for (X509CRLEntry e : crl.getRevokedCertificates())
            System.out.println(e.getSerialNumber().toString(16).toUpperCase() + " " + e.getRevocationReason());
    }

    /** issuer, certificate, request, response. */
    static void ocsp(List<byte[]> f) throws Exception {
        X509CertificateHolder issuer = new X509CertificateHolder(certificate(f.get(0)).getEncoded());
        X509Certificate cert = certificate(f.get(1));
        OCSPReq request = new OCSPReq(f.get(2));
        OCSPResp outer = new OCSPResp(f.get(3));
        if (outer.getStatus() != OCSPResp.SUCCESSFUL) throw new Exception("response status " + outer.getStatus());
        BasicOCSPResp resp = (BasicOCSPResp) outer.getResponseObject();
        X509CertificateHolder responder = resp.getCerts()[0];
        JcaContentVerifierProviderBuilder verifier = new JcaContentVerifierProviderBuilder().setProvider(BC);
        if (!responder.isSignatureValid(verifier.build(issuer))) throw new Exception("the issuer did not sign the responder's certificate");
        X509Certificate r = new JcaX509CertificateConverter().setProvider(BC).getCertificate(responder);
        r.checkValidity();
        if (!r.getExtendedKeyUsage().contains("1.3.6.1.5.5.7.3.9")) throw new Exception("responder has no OCSPSigning");
        if (r.getExtensionValue(OCSPObjectIdentifiers.id_pkix_ocsp_nocheck.getId()) == null) throw new Exception("responder has no nocheck");
        if (!resp.isSignatureValid(verifier.build(responder))) throw new Exception("response signature");
        Extension asked = request.getExtension(OCSPObjectIdentifiers.id_pkix_ocsp_nonce);
        Extension answered = resp.getExtension(OCSPObjectIdentifiers.id_pkix_ocsp_nonce);
        if (asked != null && (answered == null || !asked.getExtnValue().equals(answered.getExtnValue()))) throw new Exception("nonce");
        SingleResp single = resp.getResponses()[0];
        if (!single.getCertID().equals(request.getRequestList()[0].getCertID())) throw new Exception("CertID is not that of the request");
        if (!single.getCertID().getSerialNumber().equals(cert.getSerialNumber())) throw new Exception("serial");
        Date now = new Date();
        if (single.getThisUpdate().after(now) || single.getNextUpdate().before(now)) throw new Exception("response is not current");
        Object status = single.getCertStatus();
        System.out.println(status == null ? "good" : status instanceof RevokedStatus ? "revoked" : "unknown");
    }
}
