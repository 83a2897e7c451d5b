plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "org.bitsr.engine"
    compileSdk = libs.versions.compileSdk.get().toInt()
    ndkVersion = libs.versions.ndk.get()

    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
        consumerProguardFiles("consumer-rules.pro")
        ndk {
            abiFilters += listOf("arm64-v8a", "x86_64")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    // The native libraries come from `make android-runner` (build/android/ABI), by zig or by the NDK that ANDROID_NDK_HOME
    // names: the runtimes are linked there by their pinned checksums. Gradle packs them.
    val native = layout.buildDirectory.dir("native")
    sourceSets["main"].jniLibs.directories += native.get().asFile.path
}

// What lies beside the libraries is for the shell and for emulators.
val copyNative = tasks.register<Copy>("copyNative") {
    from(rootProject.file("../build/android")) {
        include("arm64-v8a/*.so", "x86_64/*.so")
        if (providers.gradleProperty("bitsr.flavour").orNull == "tflite") {
            exclude("**/libbitsr_pte.so", "**/libbitsr_executorch.so", "**/libexecutorch_jni.so", "**/libfbjni.so",
                    "**/libc++_shared.so")
        }
    }
    into(layout.buildDirectory.dir("native"))
    doFirst {
        check(rootProject.file("../build/android/arm64-v8a/libbitsr_jni.so").exists()) {
            "there are no native libraries in build/android; build them in the repository with: make android-runner"
        }
    }
}
tasks.named("preBuild") { dependsOn(copyNative) }
