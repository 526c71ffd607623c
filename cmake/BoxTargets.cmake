# One call per binary; sources are listed, never globbed.

# box_service(name SOURCES ... LIBS ...): build/bin/mcpbox-<name>, installed to libexec/mcpbox.
# The LIBS line is the list of powers of that process.
function(box_service name)
	cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
	add_executable(mcpbox-${name} ${A_SOURCES})
	target_link_libraries(mcpbox-${name} PRIVATE box_flags ${A_LIBS})
	target_include_directories(mcpbox-${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
	set_target_properties(mcpbox-${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
	install(TARGETS mcpbox-${name} RUNTIME DESTINATION libexec/mcpbox)
endfunction()

# box_unit_test(service file [SOURCES ...] [LIBS ...]): tests/unit/<service>/test_<file>.c, ctest label "unit".
function(box_unit_test service file)
	cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
	set(t unit_${service}_${file})
	add_executable(${t} ${CMAKE_SOURCE_DIR}/tests/unit/${service}/test_${file}.c ${A_SOURCES})
	target_link_libraries(${t} PRIVATE box_flags ${A_LIBS} box_common ${CMOCKA_LIBRARY})
	target_include_directories(${t} PRIVATE ${CMAKE_SOURCE_DIR}/services/${service}
		${CMAKE_SOURCE_DIR}/tests/support)
	add_test(NAME ${t} COMMAND ${t})
	set_tests_properties(${t} PROPERTIES LABELS unit TIMEOUT 60)
endfunction()

# box_fuzz(file SERVICE dir [SOURCES ...] [LIBS ...]): tests/fuzz/fuzz_<file>.c.
# Under the fuzz preset a libFuzzer binary; elsewhere a driver that replays the corpus and then
# mutates it from a fixed seed for a bounded number of rounds (ctest label "fuzz").
function(box_fuzz file)
	cmake_parse_arguments(A "" "SERVICE" "SOURCES;LIBS" ${ARGN})
	set(t fuzz_${file})
	add_executable(${t} ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_${file}.c ${A_SOURCES})
	target_link_libraries(${t} PRIVATE box_flags ${A_LIBS} box_common)
	if(A_SERVICE)
		target_include_directories(${t} PRIVATE ${CMAKE_SOURCE_DIR}/services/${A_SERVICE})
	endif()
	if(BOX_LIBFUZZER)
		target_link_options(${t} PRIVATE -fsanitize=fuzzer)
	else()
		target_sources(${t} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/driver.c)
		add_test(NAME ${t} COMMAND ${t} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${file})
		set_tests_properties(${t} PROPERTIES LABELS fuzz TIMEOUT 120)
	endif()
endfunction()
