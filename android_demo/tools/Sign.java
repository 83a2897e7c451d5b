import com.android.apksig.ApkSigner;

import java.io.File;
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.List;

/** java -cp apksig.jar Sign.java KEYSTORE PASSWORD IN OUT: schemes 2 and 3; the alignment stays (Debian's moves it). */
public final class Sign {
    private static final int OLDEST_API = 26, PAGE = 16384;

    public static void main(String[] words) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (FileInputStream in = new FileInputStream(words[0])) {
            store.load(in, words[1].toCharArray());
        }
        PrivateKey key = (PrivateKey) store.getKey("debug", words[1].toCharArray());
        X509Certificate certificate = (X509Certificate) store.getCertificate("debug");
        new ApkSigner.Builder(List.of(new ApkSigner.SignerConfig.Builder("debug", key, List.of(certificate)).build()))
                .setInputApk(new File(words[2])).setOutputApk(new File(words[3]))
                .setMinSdkVersion(OLDEST_API).setV1SigningEnabled(false)
                .setAlignmentPreserved(true).setLibraryPageAlignmentBytes(PAGE)
                .build().sign();
    }
}
