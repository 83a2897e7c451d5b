plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.bitsr.demo"
    compileSdk = libs.versions.compileSdk.get().toInt()

    defaultConfig {
        applicationId = "org.bitsr.demo"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.targetSdk.get().toInt()
        versionCode = 100
        versionName = libs.versions.bitsr.get()
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
        }
    }

    // Models, golden inputs and licences: `make android-assets` writes them by `bitsr export MODEL -o FOLDER --android`.
    sourceSets["main"].assets.directories += rootProject.file("../build/android/assets").path

    // Libraries are mapped out of the APK.
    packaging.jniLibs.useLegacyPackaging = false
}

dependencies {
    implementation(project(":engine"))
}
