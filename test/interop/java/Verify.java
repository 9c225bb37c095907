import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Security;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

/**
 * Judges with BouncyCastle what Terrace makes, and makes requests for it.
 *
 * <pre>
 * java Verify COMMAND NAME=VALUE...    one operation
 * java Verify batch FILE               an operation a line, its words separated by tabs
 * </pre>
 *
 * Prints one line of JSON for each operation: {"ok":true,"result":{...}} or
 * {"ok":false,"kind":"...","error":"..."}. Exit status 0 only if all are ok.
 */
public final class Verify {
    private Verify() {}

    public static void main(String[] words) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        if (words.length == 0) throw new IllegalArgumentException("usage: Verify COMMAND NAME=VALUE... | batch FILE");
        List<List<String>> operations = new ArrayList<>();
        if (words[0].equals("batch")) {
            for (String line : Files.readAllLines(Path.of(words[1]))) operations.add(Arrays.asList(line.split("\t")));
        } else {
            operations.add(Arrays.asList(words));
        }
        boolean allOK = true;
        for (List<String> operation : operations) {
            Map<String, Object> answer = answer(operation);
            allOK &= Boolean.TRUE.equals(answer.get("ok"));
            out.println(Json.write(answer));
        }
        out.flush();
        System.exit(allOK ? 0 : 1);
    }

    private static Map<String, Object> answer(List<String> words) {
        Map<String, Object> answer = new LinkedHashMap<>();
        try {
            Object result = perform(words.get(0), new Arguments(words.subList(1, words.size())));
            answer.put("ok", true);
            answer.put("result", result);
        } catch (Refusal r) {
            answer.put("ok", false);
            answer.put("kind", r.kind);
            answer.put("detail", r.detail);
            answer.put("error", r.getMessage());
        } catch (Exception e) {
            answer.put("ok", false);
            answer.put("kind", "refused");
            answer.put("error", Refusal.reasons(e));
        }
        return answer;
    }

    private static Object perform(String command, Arguments arguments) throws Exception {
        switch (command) {
            case "path": return PathCheck.perform(arguments);
            case "crl": return CrlCheck.perform(arguments);
            case "ocsp": return OcspCheck.perform(arguments);
            case "trustlist": return TrustListCheck.perform(arguments);
            case "cert": return CertificatePrint.perform(arguments);
            case "ocsprequest": return RequestMaker.ocspRequest(arguments);
            case "csr": return RequestMaker.certificateRequest(arguments);
            default: throw new IllegalArgumentException("no command " + command);
        }
    }
}
