// The glibc side of a stand-in for bionic on x86-64: shim.py makes the libraries libc.so, libm.so, libdl.so and liblog.so,
// whose functions jump to what fill() finds. Most are glibc's own, because on 64-bit Linux both C libraries have the same
// structures there; what differs is here, under the name bionic_NAME.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kFileBytes = 152 };  // of bionic's FILE

struct entry {
  const char* name;
  void** slot;  // where the address of a function goes
  void* object; // or the variable, of 8 bytes, that glibc's is copied to
};

static char* old_files;  // bionic's array of stdin, stdout and stderr

static FILE* file_of(void* file) {
  FILE* const standard[] = {stdin, stdout, stderr};
  for (int i = 0; i < 3; ++i)
    if (old_files != NULL && (char*)file == old_files + i * kFileBytes) return standard[i];
  return file;
}

// The first object is the program. Android's dynamic linker runs its constructors; glibc's leaves them to the program.
static int run_constructors(struct dl_phdr_info* program, size_t size, void* arguments) {
  (void)size;
  char** const* words = arguments;
  void (**constructors)(int, char**, char**) = NULL;
  size_t bytes = 0;
  for (int i = 0; i < program->dlpi_phnum; ++i) {
    if (program->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    const ElfW(Dyn)* entry = (const ElfW(Dyn)*)(program->dlpi_addr + program->dlpi_phdr[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry) {
      if (entry->d_tag == DT_INIT_ARRAY) constructors = (void*)(program->dlpi_addr + entry->d_un.d_ptr);
      if (entry->d_tag == DT_INIT_ARRAYSZ) bytes = entry->d_un.d_val;
    }
  }
  for (size_t i = 0; i < bytes / sizeof(*constructors); ++i) constructors[i](0, words[0], words[1]);
  return 1;
}

// `stack` is what the kernel left: the number of words, the words, a null, the environment.
void bionic___libc_init(void* stack, void* on_exit, int (*program)(int, char**, char**), void* arrays) {
  (void)on_exit;
  (void)arrays;
  const int count = (int)*(long*)stack;
  char** words[2] = {(char**)stack + 1, (char**)stack + 1 + count + 1};
  dl_iterate_phdr(run_constructors, words);
  exit(program(count, words[0], words[1]));
}

int* bionic___errno(void) { return &errno; }
void bionic___assert2(const char* file, int line, const char* function, const char* text) {
  fprintf(stderr, "%s:%d: %s: %s\n", file, line, function, text);
  abort();
}
void bionic_android_set_abort_message(const char* text) { fprintf(stderr, "%s\n", text); }
int bionic___system_property_get(const char* name, char* value) {
  (void)name;
  value[0] = '\0';
  return 0;
}
size_t bionic___strlen_chk(const char* text, size_t room) {
  const size_t length = strlen(text);
  if (length >= room) abort();
  return length;
}
char* bionic___strchr_chk(const char* text, int letter, size_t room) {
  (void)room;
  return strchr(text, letter);
}
char* bionic___strrchr_chk(const char* text, int letter, size_t room) {
  (void)room;
  return strrchr(text, letter);
}
char* bionic___gnu_strerror_r(int error, char* text, size_t room) { return strerror_r(error, text, room); }
ssize_t bionic___write_chk(int file, const void* data, size_t size, size_t room) {
  if (size > room) abort();
  return write(file, data, size);
}
long bionic_sysconf(int number) {
  switch (number) {
    case 0x27:
    case 0x28:
      return sysconf(_SC_PAGESIZE);
    case 0x60:
      return sysconf(_SC_NPROCESSORS_CONF);
    case 0x61:
      return sysconf(_SC_NPROCESSORS_ONLN);
    case 0x62:
      return sysconf(_SC_PHYS_PAGES);
    default:
      fprintf(stderr, "sysconf(%#x) is unknown to the stand-in for bionic\n", (unsigned)number);
      abort();
  }
}

int bionic_vfprintf(void* file, const char* format, va_list values) { return vfprintf(file_of(file), format, values); }
int bionic_fprintf(void* file, const char* format, ...) {
  va_list values;
  va_start(values, format);
  const int written = vfprintf(file_of(file), format, values);
  va_end(values);
  return written;
}
int bionic_fputs(const char* text, void* file) { return fputs(text, file_of(file)); }
int bionic_fputc(int letter, void* file) { return fputc(letter, file_of(file)); }
size_t bionic_fwrite(const void* data, size_t size, size_t count, void* file) {
  return fwrite(data, size, count, file_of(file));
}
int bionic_fflush(void* file) { return fflush(file_of(file)); }

int bionic___android_log_vprint(int level, const char* tag, const char* format, va_list values) {
  (void)level;
  fprintf(stderr, "%s: ", tag == NULL ? "" : tag);
  const int written = vfprintf(stderr, format, values);
  fputc('\n', stderr);
  return written;
}
int bionic___android_log_print(int level, const char* tag, const char* format, ...) {
  va_list values;
  va_start(values, format);
  const int written = bionic___android_log_vprint(level, tag, format, values);
  va_end(values);
  return written;
}
int bionic___android_log_write(int level, const char* tag, const char* text) {
  return bionic___android_log_print(level, tag, "%s", text);
}
void bionic___android_log_assert(const char* condition, const char* tag, const char* format, ...) {
  fprintf(stderr, "%s: %s (%s)\n", tag, condition, format);
  abort();
}

// A name that neither side has ends the process when it is called, with its name.
static void missing(void) {
  fprintf(stderr, "a function that the stand-in for bionic lacks was called\n");
  abort();
}

void bitsr_fill(struct entry* entries) {
  void* const sides[] = {dlopen("libbitsr_bionic.so", RTLD_NOW | RTLD_NOLOAD), dlopen("libc.so.6", RTLD_NOW),
                         dlopen("libm.so.6", RTLD_NOW)};
  for (struct entry* entry = entries; entry->name != NULL; ++entry) {
    if (strcmp(entry->name, "__sF") == 0) {
      old_files = entry->object;
      continue;
    }
    char special[128];
    snprintf(special, sizeof(special), "bionic_%s", entry->name);
    void* found = dlsym(sides[0], special);
    for (int i = 1; found == NULL && i < 3; ++i) found = dlsym(sides[i], entry->name);
    if (entry->object != NULL) {
      if (found != NULL) memcpy(entry->object, found, sizeof(void*));
    } else {
      *entry->slot = found != NULL ? found : (void*)missing;
    }
  }
}
