# box_flags: how every file of ours is compiled.  Options choose sanitizers, fuzzing and coverage.
option(BOX_TESTS "build the tests" ON)
option(BOX_LIBFUZZER "link fuzz targets with libFuzzer (clang) instead of the replaying driver" OFF)
option(BOX_COVERAGE "instrument for gcov" OFF)
set(BOX_SANITIZE "" CACHE STRING "list for -fsanitize=, empty for none")

add_library(box_flags INTERFACE)
target_compile_features(box_flags INTERFACE c_std_11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

target_compile_definitions(box_flags INTERFACE _GNU_SOURCE BOX_VERSION="${PROJECT_VERSION}")
target_compile_options(box_flags INTERFACE
	-Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
	-Wmissing-prototypes -Wold-style-definition -Wformat=2 -Wvla -Wundef -Wpointer-arith
	-Wwrite-strings -Wnull-dereference -Wimplicit-fallthrough
	-fno-omit-frame-pointer -fno-common -fvisibility=hidden
	-fstack-protector-strong -fstack-clash-protection)
target_link_options(box_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)

if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
	target_compile_options(box_flags INTERFACE -fcf-protection=full)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	target_compile_options(box_flags INTERFACE -Wlogical-op -Wduplicated-cond)
	# GCC's interprocedural null analysis reports paths that the compiled checks exclude.
	target_compile_options(box_flags INTERFACE -Wno-null-dereference)
endif()

if(BOX_SANITIZE)
	target_compile_options(box_flags INTERFACE -fsanitize=${BOX_SANITIZE} -fno-sanitize-recover=all)
	target_link_options(box_flags INTERFACE -fsanitize=${BOX_SANITIZE})
	target_compile_definitions(box_flags INTERFACE BOX_SANITIZED=1)
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
	# Debian's compiler may define it already; fortify needs optimisation and dislikes sanitizers.
	target_compile_options(box_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(BOX_COVERAGE)
	target_compile_options(box_flags INTERFACE --coverage)
	target_link_options(box_flags INTERFACE --coverage)
endif()
if(BOX_LIBFUZZER)
	target_compile_options(box_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
