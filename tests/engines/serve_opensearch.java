import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.http.HttpServerTransport;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** Runs OpenSearch until standard input ends. Prints where it listens: java -cp 'FOLDER/jars/*' serve_opensearch.java */
class ServeOpenSearch {
    static final class Server extends Node {
        Server(Settings settings) {
            super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "tests"),
                    List.of(Netty4Plugin.class), false);
        }

        String address() {
            return injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress().toString();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createTempDirectory("opensearch-");
        Settings settings = Settings.builder()
                .put("path.home", folder.toString())
                .put("discovery.type", "single-node")
                .put("network.host", "127.0.0.1")
                .put("http.port", 0)
                .put("transport.port", 0)
                // Otherwise a disk that is nearly full makes every index read-only.
                .put("cluster.routing.allocation.disk.threshold_enabled", false)
                .build();
        try (Server server = new Server(settings)) {
            server.start();
            System.out.println(server.address());
            while (System.in.read() >= 0) {
            }
        } finally {
            delete(folder);
        }
        // Some of its threads are not daemons.
        System.exit(0);
    }

    static void delete(Path folder) throws IOException {
        try (var paths = Files.walk(folder)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
