import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ocsp.OCSPObjectIdentifiers;
import org.bouncycastle.asn1.ocsp.ResponderID;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;
import org.bouncycastle.cert.ocsp.BasicOCSPResp;
import org.bouncycastle.cert.ocsp.CertificateID;
import org.bouncycastle.cert.ocsp.OCSPReq;
import org.bouncycastle.cert.ocsp.OCSPResp;
import org.bouncycastle.cert.ocsp.Req;
import org.bouncycastle.cert.ocsp.RevokedStatus;
import org.bouncycastle.cert.ocsp.SingleResp;
import org.bouncycastle.crypto.digests.SHA1Digest;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;

/** Verifies an OCSP response of a delegated responder against the request, RFC 6960 section 3.2. */
final class OcspCheck {
    private static final String[] STATUS = {"successful", "malformedRequest", "internalError", "tryLater", "4", "sigRequired", "unauthorized"};

    private OcspCheck() {}

    /** issuer, request, response, at. */
    static Object perform(Arguments a) throws Exception {
        X509Certificate issuer = a.certificate("issuer");
        OCSPReq request = new OCSPReq(a.file("request"));
        OCSPResp outer = new OCSPResp(a.file("response"));
        Date at = a.at();
        if (outer.getStatus() != OCSPResp.SUCCESSFUL) {
            int status = outer.getStatus();
            String name = status >= 0 && status < STATUS.length ? STATUS[status] : Integer.toString(status);
            throw new Refusal("responseStatus", "response status " + name, Map.of("status", status, "name", name));
        }
        BasicOCSPResp response = (BasicOCSPResp) outer.getResponseObject();
        X509Certificate responder = responder(response, issuer, at);
        Signature501.require(null, response.getSignatureAlgorithmID());
        if (!response.isSignatureValid(new JcaContentVerifierProviderBuilder().setProvider("BC").build(responder))) throw new Refusal("the signature of the response is wrong");

        Map<String, Object> result = new LinkedHashMap<>();
        result.put("nonce", nonce(request, response));
        result.put("producedAt", response.getProducedAt());
        result.put("responder", responder.getSubjectX500Principal().getName());
        List<Object> answers = new ArrayList<>();
        for (Req asked : request.getRequestList()) answers.add(answer(asked.getCertID(), response, issuer, at));
        result.put("answers", answers);
        return result;
    }

    /** The responder's certificate of the response: issued by the CA itself, for OCSP, valid, and the one that ResponderID names. */
    private static X509Certificate responder(BasicOCSPResp response, X509Certificate issuer, Date at) throws Exception {
        if (response.getCerts().length == 0) throw new Refusal("the response holds no responder certificate");
        X509CertificateHolder holder = response.getCerts()[0];
        X509Certificate responder = Arguments.certificate(holder.getEncoded());
        if (!Arrays.equals(responder.getIssuerX500Principal().getEncoded(), issuer.getSubjectX500Principal().getEncoded())) throw new Refusal("the responder's certificate was issued by " + responder.getIssuerX500Principal().getName() + ", not by the CA");
        try {
            responder.verify(issuer.getPublicKey(), "BC");
        } catch (Exception e) {
            throw new Refusal("the CA did not sign the responder's certificate: " + Refusal.reasons(e));
        }
        responder.checkValidity(at);
        List<String> purposes = responder.getExtendedKeyUsage();
        if (purposes == null || !purposes.contains(KeyPurposeId.id_kp_OCSPSigning.getId())) throw new Refusal("the responder's certificate has no extendedKeyUsage OCSPSigning");
        if (responder.getExtensionValue(OCSPObjectIdentifiers.id_pkix_ocsp_nocheck.getId()) == null) throw new Refusal("the responder's certificate has no id-pkix-ocsp-nocheck");
        ResponderID id = response.getResponderId().toASN1Primitive();
        if (id.getKeyHash() == null ? !id.getName().equals(holder.getSubject()) : !Arrays.equals(id.getKeyHash(), keyHash(holder))) throw new Refusal("ResponderID is not that of the responder's certificate");
        return responder;
    }

    private static byte[] keyHash(X509CertificateHolder holder) {
        byte[] key = holder.getSubjectPublicKeyInfo().getPublicKeyData().getBytes();
        SHA1Digest sha1 = new SHA1Digest();
        sha1.update(key, 0, key.length);
        byte[] hash = new byte[sha1.getDigestSize()];
        sha1.doFinal(hash, 0);
        return hash;
    }

    private static byte[] nonce(OCSPReq request, BasicOCSPResp response) throws Refusal {
        Extension asked = request.getExtension(OCSPObjectIdentifiers.id_pkix_ocsp_nonce);
        Extension answered = response.getExtension(OCSPObjectIdentifiers.id_pkix_ocsp_nonce);
        if (asked != null && answered == null) throw new Refusal("the request's nonce is not in the response");
        if (asked != null && !asked.getExtnValue().equals(answered.getExtnValue())) throw new Refusal("the response's nonce is not that of the request");
        return answered == null ? new byte[0] : ASN1OctetString.getInstance(answered.getParsedValue()).getOctets();
    }

    private static Object answer(CertificateID asked, BasicOCSPResp response, X509Certificate issuer, Date at) throws Exception {
        DigestCalculatorProvider digests = new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
        SingleResp found = null;
        for (SingleResp single : response.getResponses()) if (same(asked, single.getCertID())) found = single;
        String serial = asked.getSerialNumber().toString(16);
        if (found == null) throw new Refusal("the response has no answer for the request's CertID, serial " + serial);
        if (!asked.matchesIssuer(new JcaX509CertificateHolder(issuer), digests)) throw new Refusal("the CertID for serial " + serial + " names another issuer");
        if (found.getThisUpdate().after(at)) throw new Refusal("the answer is not yet valid: thisUpdate " + found.getThisUpdate().toInstant());
        if (found.getNextUpdate() == null) throw new Refusal("the answer has no nextUpdate");
        if (!found.getNextUpdate().after(at)) throw new Refusal("the answer is expired: nextUpdate " + found.getNextUpdate().toInstant());

        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("serial", serial);
        answer.put("hash", found.getCertID().getHashAlgOID().getId());
        answer.put("thisUpdate", found.getThisUpdate());
        answer.put("nextUpdate", found.getNextUpdate());
        Object status = found.getCertStatus(); // null is CertificateStatus.GOOD
        answer.put("status", status == null ? "good" : status instanceof RevokedStatus ? "revoked" : "unknown");
        if (status instanceof RevokedStatus) {
            RevokedStatus revoked = (RevokedStatus) status;
            answer.put("revokedAt", revoked.getRevocationTime());
            answer.put("reason", revoked.hasRevocationReason() ? CrlCheck.reason(revoked.getRevocationReason()) : "");
        }
        return answer;
    }

    /** Whether two CertIDs are one; absent and NULL parameters of the hash are the same. */
    private static boolean same(CertificateID a, CertificateID b) {
        return a.getHashAlgOID().equals(b.getHashAlgOID()) && a.getSerialNumber().equals(b.getSerialNumber())
            && Arrays.equals(a.getIssuerNameHash(), b.getIssuerNameHash()) && Arrays.equals(a.getIssuerKeyHash(), b.getIssuerKeyHash());
    }
}
