import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.cms.SignedData;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.Time;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.crypto.digests.SM3Digest;
import org.bouncycastle.util.Selector;
import org.bouncycastle.util.encoders.Hex;

/** Verifies a certificate trust list, or a bundle whose data is one. */
final class TrustListCheck {
    private static final String SIGNER_USAGE = "1.3.6.1.4.1.311.10.3.1";
    private static final String LIST = "1.3.6.1.4.1.311.10.1";
    private static final String SM3 = "1.2.156.10197.1.401";

    private TrustListCheck() {}

    /** list: DER. The path of the signer is for the command path. */
    static Object perform(Arguments a) throws Exception {
        byte[] der = a.file("list");
        CMSSignedData signed = new CMSSignedData(der);
        Collection<SignerInformation> signers = signed.getSignerInfos().getSigners();
        if (signers.size() != 1) throw new Refusal("has " + signers.size() + " signers");
        SignerInformation signer = signers.iterator().next();
        X509CertificateHolder certificate = only(signed, signer.getSID());
        Signature501.require(null, new AlgorithmIdentifier(new ASN1ObjectIdentifier(signer.getEncryptionAlgOID()),
            signer.getEncryptionAlgParams() == null ? null : org.bouncycastle.asn1.ASN1Primitive.fromByteArray(signer.getEncryptionAlgParams())));
        if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(certificate))) throw new Refusal("the signature does not verify");
        X509Certificate x509 = Arguments.certificate(certificate.getEncoded());
        if (!List.of(SIGNER_USAGE).equals(x509.getExtendedKeyUsage())) throw new Refusal("extendedKeyUsage of the signer is " + x509.getExtendedKeyUsage());

        // What was signed, from the structure itself: BouncyCastle hands out the octets alone.
        SignedData data = SignedData.getInstance(ContentInfo.getInstance(der).getContent());
        boolean isList = data.getEncapContentInfo().getContentType().getId().equals(LIST);
        ASN1Sequence list = ASN1Sequence.getInstance(isList ? data.getEncapContentInfo().getContent()
            : ASN1OctetString.getInstance(data.getEncapContentInfo().getContent()).getOctets());
        if (list.size() != 7) throw new Refusal("list has " + list.size() + " parts");
        if (!AlgorithmIdentifier.getInstance(list.getObjectAt(5)).getAlgorithm().getId().equals(SM3)) throw new Refusal("subjectAlgorithm is not SM3");
        Map<String, Object> r = new LinkedHashMap<>();
        r.put("contentType", data.getEncapContentInfo().getContentType().getId());
        r.put("name", new String(ASN1OctetString.getInstance(list.getObjectAt(1)).getOctets(), java.nio.charset.StandardCharsets.US_ASCII));
        r.put("sequence", ASN1Integer.getInstance(list.getObjectAt(2)).getValue().toString());
        r.put("thisUpdate", Time.getInstance(list.getObjectAt(3)).getDate());
        r.put("nextUpdate", Time.getInstance(list.getObjectAt(4)).getDate());
        r.put("signer", x509.getSubjectX500Principal().getName());
        List<Object> subjects = new ArrayList<>();
        for (Object entry : ASN1Sequence.getInstance(list.getObjectAt(6)))
            subjects.add(find(signed, ASN1OctetString.getInstance(ASN1Sequence.getInstance(entry).getObjectAt(0)).getOctets()));
        r.put("subjects", subjects);
        return r;
    }

    private static X509CertificateHolder only(CMSSignedData signed, Selector<X509CertificateHolder> selector) throws Refusal {
        Collection<X509CertificateHolder> found = signed.getCertificates().getMatches(selector);
        if (found.size() != 1) throw new Refusal("has " + found.size() + " certificates of the signer");
        return found.iterator().next();
    }

    /** The subject of the certificate whose SM3 is the identifier. */
    private static String find(CMSSignedData signed, byte[] identifier) throws Exception {
        for (X509CertificateHolder c : signed.getCertificates().getMatches(null)) {
            byte[] encoded = c.toASN1Structure().getEncoded(ASN1Encoding.DER);
            SM3Digest digest = new SM3Digest();
            digest.update(encoded, 0, encoded.length);
            byte[] sum = new byte[digest.getDigestSize()];
            digest.doFinal(sum, 0);
            if (Arrays.equals(sum, identifier)) return Arguments.certificate(encoded).getSubjectX500Principal().getName();
        }
        throw new Refusal("no certificate for entry " + Hex.toHexString(identifier));
    }
}
