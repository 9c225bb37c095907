import java.time.Instant;
import java.util.Date;
import java.util.List;
import java.util.Map;
import org.bouncycastle.util.encoders.Hex;

/** Writes maps, lists, strings, numbers, booleans, dates (RFC 3339) and bytes (hexadecimal). */
final class Json {
    private Json() {}

    static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value);
        return out.toString();
    }

    private static void write(StringBuilder out, Object value) {
        if (value == null || value instanceof Boolean || value instanceof Integer) {
            out.append(value);
        } else if (value instanceof Map) {
            String comma = "{";
            if (((Map<?, ?>) value).isEmpty()) out.append('{');
            for (Map.Entry<?, ?> e : ((Map<?, ?>) value).entrySet()) {
                out.append(comma);
                quote(out, e.getKey().toString());
                out.append(':');
                write(out, e.getValue());
                comma = ",";
            }
            out.append('}');
        } else if (value instanceof List) {
            out.append('[');
            String comma = "";
            for (Object o : (List<?>) value) {
                out.append(comma);
                write(out, o);
                comma = ",";
            }
            out.append(']');
        } else if (value instanceof Date) {
            quote(out, Instant.ofEpochMilli(((Date) value).getTime()).toString());
        } else if (value instanceof byte[]) {
            quote(out, Hex.toHexString((byte[]) value));
        } else {
            quote(out, value.toString());
        }
    }

    private static void quote(StringBuilder out, String text) {
        out.append('"');
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < 0x20 || c == 0x7f) out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        out.append('"');
    }
}
