import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;

/** NAME=VALUE arguments of an operation; a name may occur several times. */
final class Arguments {
    private final List<String[]> pairs = new ArrayList<>();

    Arguments(List<String> words) {
        for (String word : words) {
            int equals = word.indexOf('=');
            if (equals < 1) throw new IllegalArgumentException("argument \"" + word + "\" is not NAME=VALUE");
            pairs.add(new String[] {word.substring(0, equals), word.substring(equals + 1)});
        }
    }

    List<String> all(String name) {
        List<String> values = new ArrayList<>();
        for (String[] pair : pairs) if (pair[0].equals(name)) values.add(pair[1]);
        return values;
    }

    String optional(String name, String fallback) {
        List<String> values = all(name);
        return values.isEmpty() ? fallback : values.get(0);
    }

    String one(String name) {
        String value = optional(name, null);
        if (value == null) throw new IllegalArgumentException("argument " + name + " is missing");
        return value;
    }

    byte[] file(String name) throws IOException { return Files.readAllBytes(Path.of(one(name))); }

    /** at=<RFC 3339> or now. */
    Date at() { return all("at").isEmpty() ? new Date() : Date.from(Instant.parse(one("at"))); }

    X509Certificate certificate(String name) throws Exception { return certificate(file(name)); }

    List<X509Certificate> certificates(String name) throws Exception {
        List<X509Certificate> list = new ArrayList<>();
        for (String file : all(name)) list.add(certificate(Files.readAllBytes(Path.of(file))));
        return list;
    }

    List<X509CRL> lists(String name) throws Exception {
        List<X509CRL> list = new ArrayList<>();
        for (String file : all(name)) list.add(list(Files.readAllBytes(Path.of(file))));
        return list;
    }

    /** Reads PEM or DER. The factory answers null, without an error, for bytes that hold nothing. */
    static X509Certificate certificate(byte[] encoded) throws Exception {
        X509Certificate c = (X509Certificate) CertificateFactory.getInstance("X.509", "BC").generateCertificate(new ByteArrayInputStream(encoded));
        if (c == null) throw new Refusal("no certificate in the input");
        return c;
    }

    static X509CRL list(byte[] encoded) throws Exception {
        X509CRL l = (X509CRL) CertificateFactory.getInstance("X.509", "BC").generateCRL(new ByteArrayInputStream(encoded));
        if (l == null) throw new Refusal("no list in the input");
        return l;
    }
}
