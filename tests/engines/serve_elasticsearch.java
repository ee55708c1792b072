import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.Version;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** Runs Elasticsearch until standard input ends. Prints where it listens: java -cp 'FOLDER/jars/*' serve_elasticsearch.java FOLDER */
class ServeElasticsearch {
    public static void main(String[] arguments) throws Exception {
        LogConfigurator.configureESLogging();
        Path folder = Files.createTempDirectory("elasticsearch-");
        Path modules = folder.resolve("modules");
        install(Path.of(arguments[0]).resolve("transport-netty4"), modules.resolve("transport-netty4"));
        Settings settings = Settings.builder()
                .put("path.home", folder.toString())
                .put("discovery.type", "single-node")
                .put("network.host", "127.0.0.1")
                .put("http.port", 0)
                .put("transport.port", 0)
                // Otherwise a disk that is nearly full makes every index read-only.
                .put("cluster.routing.allocation.disk.threshold_enabled", false)
                .build();
        Path configuration = Files.createDirectory(folder.resolve("config"));
        var environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), configuration, () -> "tests");
        // On a class path the server is no module that could export anything to others.
        var loader = PluginsLoader.createPluginsLoader(
                PluginsLoader.loadModulesBundles(modules), Set.of(), Map.of(), false);
        try (Node server = new Node(environment, loader)) {
            server.start();
            System.out.println(server.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress());
            while (System.in.read() >= 0) {
            }
        } finally {
            delete(folder);
        }
        // Some of its threads are not daemons.
        System.exit(0);
    }

    /** Makes the server's module for HTTP of its jars, as it is in a distribution. */
    static void install(Path jars, Path module) throws IOException {
        Files.createDirectories(module);
        try (var paths = Files.list(jars)) {
            for (Path jar : paths.toList()) {
                Files.copy(jar, module.resolve(jar.getFileName()));
            }
        }
        Files.write(module.resolve("plugin-descriptor.properties"), List.of(
                "name=transport-netty4",
                "description=HTTP",
                "version=" + Version.CURRENT,
                "elasticsearch.version=" + Version.CURRENT,
                "java.version=17",
                "classname=org.elasticsearch.transport.netty4.Netty4Plugin"));
    }

    static void delete(Path folder) throws IOException {
        try (var paths = Files.walk(folder)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
