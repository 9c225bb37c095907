import java.util.Map;

/** A refusal that the caller must be able to tell from others. */
final class Refusal extends Exception {
    private static final long serialVersionUID = 1;

    /** revoked, responseStatus or refused. */
    final String kind;
    final transient Map<String, Object> detail;

    Refusal(String message) { this("refused", message, Map.of()); }

    Refusal(String kind, String message, Map<String, Object> detail) {
        super(message);
        this.kind = kind;
        this.detail = detail;
    }

    /** The messages of an exception and of its causes, each said once. */
    static String reasons(Throwable t) {
        StringBuilder all = new StringBuilder();
        for (Throwable c = t; c != null; c = c.getCause()) {
            String message = c.getMessage() == null ? c.getClass().getSimpleName() : c.getMessage();
            if (all.indexOf(message) >= 0) continue;
            if (all.length() > 0) all.append(": ");
            all.append(message);
        }
        return all.toString();
    }
}
