import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.gm.GMObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;

/** The AlgorithmIdentifier of SM2 with SM3, GM/T 0015: the OID and no parameters, not even NULL. */
final class Signature501 {
    private Signature501() {}

    /** inner is that of the signed part, or null for a structure that has none. */
    static void require(AlgorithmIdentifier inner, AlgorithmIdentifier outer) throws Refusal {
        if (inner != null && !inner.equals(outer)) throw new Refusal("signatureAlgorithm differs inside and outside of the signed part");
        if (!outer.getAlgorithm().equals(GMObjectIdentifiers.sm2sign_with_sm3)) throw new Refusal("signatureAlgorithm is " + outer.getAlgorithm() + ", not SM2 with SM3");
        ASN1Encodable parameters = outer.getParameters();
        if (parameters != null) throw new Refusal("signatureAlgorithm has parameters; they must be absent");
    }
}
