package org.bitsr.unidbg;

import com.github.unidbg.Emulator;
import com.github.unidbg.arm.Arm64Svc;
import com.github.unidbg.arm.context.RegisterContext;
import com.github.unidbg.linux.android.dvm.DvmObject;
import com.github.unidbg.linux.android.dvm.VM;
import com.github.unidbg.pointer.UnidbgPointer;
import java.util.Arrays;

/** The functions of JNI that the engine calls and unidbg has not: those of long[]. */
final class Jni {
    // Places of functions in the table of jni.h.
    private static final int SET_LONG_ARRAY_REGION = 212;

    private Jni() {}

    static void complete(Phone phone) {
        UnidbgPointer table = ((UnidbgPointer) phone.vm.getJNIEnv()).getPointer(0);
        table.setPointer(8L * SET_LONG_ARRAY_REGION, phone.emulator.getSvcMemory().registerSvc(new Arm64Svc() {
            @Override
            public long handle(Emulator<?> emulator) {
                RegisterContext call = emulator.getContext();
                DvmObject<?> array = phone.vm.getObject(call.getPointerArg(1).toIntPeer());
                int start = call.getIntArg(2), count = call.getIntArg(3);
                for (int i = 0; i < count; ++i)
                    ((long[]) array.getValue())[start + i] = call.getPointerArg(4).getLong(8L * i);
                return 0;
            }
        }));
    }

    static DvmObject<?> longs(VM vm, long... values) {
        return vm.resolveClass("[J").newObject(Arrays.copyOf(values, values.length));
    }
}
