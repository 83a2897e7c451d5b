package org.bitsr.unidbg;

import com.github.unidbg.linux.android.dvm.AbstractJni;
import com.github.unidbg.linux.android.dvm.BaseVM;
import com.github.unidbg.linux.android.dvm.DvmClass;
import com.github.unidbg.linux.android.dvm.DvmMethod;
import com.github.unidbg.linux.android.dvm.DvmObject;
import com.github.unidbg.linux.android.dvm.VaList;
import com.github.unidbg.linux.android.dvm.array.ByteArray;
import com.github.unidbg.linux.android.dvm.array.IntArray;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/**
 * The engine of a built APK, its own arm64 libraries and its own models, in an Android process:
 * {@code Apk PROCESSOR APK MODEL RUNTIME WIDTH HEIGHT IN OUT [damaged]}. MODEL is an asset (a .pte with its .json beside it),
 * RUNTIME "core" or "framework", IN and OUT are files of RGB bytes. Prints facts as {@code key=value}; {@code status} is that of the C ABI. With the word
 * "damaged" a byte in the middle of the model is changed.
 */
public final class Apk {
    // As org.bitsr.engine.jni.Native has them.
    private static final String NATIVE = "org/bitsr/engine/jni/Native";
    private static final int RUNTIME_NAME = 1, RUNTIME_VERSION = 2, ISA = 3, SCALE = 2;
    private static final int OK = 0, GRIEF = 70;

    private Apk() {}

    public static void main(String[] words) {
        int code = 0;
        Path root = null;
        try {
            root = Files.createTempDirectory("bitsr-apk-");
            run(root, words);
        } catch (Exception | Error failure) {
            failure.printStackTrace();
            code = GRIEF;
        }
        delete(root);
        System.out.flush();
        System.err.flush();
        Runtime.getRuntime().halt(code);
    }

    private static void delete(Path folder) {
        if (folder == null) return;
        try (Stream<Path> files = Files.walk(folder)) {
            files.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        } catch (IOException left) {
            System.err.println("left behind: " + folder + ": " + left);
        }
    }

    private static void run(Path root, String[] words) throws Exception {
        int width = Integer.parseInt(words[4]), height = Integer.parseInt(words[5]);
        String asset = words[2], runtime = words[3];
        boolean pte = asset.endsWith(".pte");
        String[] frameworks = pte ? new String[] {"bitsr_pte"} : new String[] {"tensorflowlite_jni", "bitsr_tflite"};
        try (Phone phone = new Phone(Processor.named(words[0]), false, root, null, Path.of(words[1]))) {
            BaseVM vm = (BaseVM) phone.vm;
            Jni.complete(phone);
            // What the engine opens by name is there already.
            for (String name : runtime.equals("core") ? new String[0] : frameworks) vm.loadLibrary(name, true);
            vm.loadLibrary("bitsr_jni", true);
            phone.requireSymbols();

            byte[] model = required(vm, asset);
            if (words.length > 8) model[model.length / 2] ^= 1;
            byte[] sidecar = pte ? required(vm, asset.replaceFirst("pte$", "json")) : null;
            Engine engine = new Engine(phone, vm);
            DvmObject<?> handle = Jni.longs(vm, 0);
            int status = engine.type.callStaticJniMethodInt(phone.emulator, "openMemory([B[BI[B[B[B[B[B[J)I",
                    new ByteArray(vm, model), sidecar == null ? null : new ByteArray(vm, sidecar), 1, null,
                    new ByteArray(vm, runtime.getBytes(StandardCharsets.UTF_8)), null, null, null, handle);
            if (status == OK) {
                long session = ((long[]) handle.getValue())[0];
                System.out.println("runtime=" + engine.text(session, RUNTIME_NAME));
                System.out.println("version=" + engine.text(session, RUNTIME_VERSION));
                System.out.println("isa=" + engine.text(session, ISA));
                int scale = (int) engine.type.callStaticJniMethodLong(phone.emulator, "number(JI)J", session, SCALE);
                engine.enlarged = new int[width * height * scale * scale];
                engine.rowPixels = width * scale;
                status = engine.upscale(session, pixels(Files.readAllBytes(Path.of(words[6]))), width, height);
                engine.type.callStaticJniMethod(phone.emulator, "close(J)V", session);
                if (status == OK) Files.write(Path.of(words[7]), bytes(engine.enlarged));
            }
            System.out.println("status=" + status);
            if (status != OK) System.out.println("error=" + engine.lastError());
        }
    }

    private static byte[] required(BaseVM vm, String asset) {
        byte[] content = vm.openAsset(asset);
        if (content == null) throw new IllegalArgumentException("the APK has no asset " + asset);
        return content;
    }

    /** The native methods, and the listener that they call. */
    private static final class Engine extends AbstractJni {
        final Phone phone;
        final BaseVM vm;
        final DvmClass type;
        int[] enlarged;
        int rowPixels;

        Engine(Phone phone, BaseVM vm) {
            this.phone = phone;
            this.vm = vm;
            type = vm.resolveClass(NATIVE);
            vm.setJni(this);
        }

        String text(long session, int which) {
            return string(type.callStaticJniMethodObject(phone.emulator, "text(JI)[B", session, which));
        }

        String lastError() {
            return string(type.callStaticJniMethodObject(phone.emulator, "lastError()[B"));
        }

        private static String string(DvmObject<?> bytes) {
            return new String((byte[]) bytes.getValue(), StandardCharsets.UTF_8);
        }

        int upscale(long session, int[] pixels, int width, int height) {
            DvmObject<?> listener = vm.resolveClass("org/bitsr/engine/jni/Listener").newObject(null);
            return type.callStaticJniMethodInt(phone.emulator, "upscale(J[IIIJLorg/bitsr/engine/jni/Listener;)I",
                    session, new IntArray(vm, pixels), width, height, 0L, listener);
        }

        @Override
        public boolean callBooleanMethodV(BaseVM vm, DvmObject<?> object, DvmMethod method, VaList values) {
            if (method.getMethodName().equals("rows")) {
                int[] rows = (int[]) values.getObjectArg(2).getValue();
                System.arraycopy(rows, 0, enlarged, values.getIntArg(0) * rowPixels, rows.length);
            }
            return true;
        }
    }

    private static int[] pixels(byte[] rgb) {
        int[] pixels = new int[rgb.length / 3];
        for (int i = 0; i < pixels.length; ++i)
            pixels[i] = 0xff000000 | (rgb[3 * i] & 255) << 16 | (rgb[3 * i + 1] & 255) << 8 | (rgb[3 * i + 2] & 255);
        return pixels;
    }

    private static byte[] bytes(int[] pixels) {
        byte[] rgb = new byte[3 * pixels.length];
        for (int i = 0; i < pixels.length; ++i)
            for (int c = 0; c < 3; ++c) rgb[3 * i + c] = (byte) (pixels[i] >> (16 - 8 * c));
        return rgb;
    }
}
