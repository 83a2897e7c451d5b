// run LIBRARY ARGUMENT...: the main() of an Android library, in this process.
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char** words) {
  void* library = dlopen(words[1], RTLD_NOW);
  int (*program)(int, char**) = library == NULL ? NULL : (int (*)(int, char**))dlsym(library, "main");
  if (program == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 70;
  }
  return program(count - 1, words + 1);
}
