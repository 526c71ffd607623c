# Every library, looked up once.  Who links which is said where the binary is defined:
# a service's LIBS line is its list of powers.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium>=1.0.18)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.14)
pkg_check_modules(PROTOBUFC REQUIRED IMPORTED_TARGET libprotobuf-c>=1.4.1)
# CVE-2025-12818 is fixed from 15.15 on; the registry checks the loaded library again at start.
pkg_check_modules(LIBPQ REQUIRED IMPORTED_TARGET libpq>=15)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.88)
pkg_check_modules(IDN2 REQUIRED IMPORTED_TARGET libidn2)
pkg_check_modules(PSL REQUIRED IMPORTED_TARGET libpsl)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp>=2.5.4)
pkg_check_modules(PYTHON REQUIRED IMPORTED_TARGET python3-embed>=3.11)

# nng and civetweb ship no pkg-config file.
find_library(NNG_LIBRARY nng REQUIRED)
find_path(NNG_INCLUDE nng/nng.h REQUIRED)
add_library(box_nng INTERFACE)
target_link_libraries(box_nng INTERFACE ${NNG_LIBRARY} Threads::Threads)

find_library(CIVETWEB_LIBRARY civetweb REQUIRED)
find_path(CIVETWEB_INCLUDE civetweb.h REQUIRED)
add_library(box_civetweb INTERFACE)
target_link_libraries(box_civetweb INTERFACE ${CIVETWEB_LIBRARY} Threads::Threads)

find_library(CMOCKA_LIBRARY cmocka)
find_program(PROTOC_C NAMES protoc-c protoc REQUIRED)
