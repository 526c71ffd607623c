foreach(file frame window keys delivery permit spool answer)
	box_unit_test(common ${file})
endforeach()
box_unit_test(common doorstep LIBS box_nng)

# The bus over real sockets, its peer in a process of its own.
add_executable(bus_test_peer ${CMAKE_SOURCE_DIR}/tests/integration/bus/peer.c)
target_link_libraries(bus_test_peer PRIVATE box_flags box_common box_nng)
target_include_directories(bus_test_peer PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
foreach(name bus bus_lines bus_tls)
	add_executable(integration_${name} ${CMAKE_SOURCE_DIR}/tests/integration/bus/test_${name}.c
		${CMAKE_SOURCE_DIR}/tests/integration/bus/peer_process.c)
	target_link_libraries(integration_${name} PRIVATE box_flags box_common box_nng ${CMOCKA_LIBRARY})
	target_include_directories(integration_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
	add_test(NAME integration_${name} COMMAND integration_${name} $<TARGET_FILE:bus_test_peer>)
	set_tests_properties(integration_${name} PROPERTIES LABELS integration TIMEOUT 300)
endforeach()

foreach(file frame keys)
	box_fuzz(${file} SERVICE common)
	target_include_directories(fuzz_${file} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
endforeach()

# By hand: bench_bus $(pwd)/bus_test_peer 23100 8
add_executable(bench_bus EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/bench/bench_bus.c)
target_link_libraries(bench_bus PRIVATE box_flags box_common)
target_include_directories(bench_bus PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
