foreach(file frame window keys permit spool answer)
	box_unit_test(common ${file})
endforeach()

# The bus over real sockets, its peer in a process of its own.
add_executable(bus_test_peer ${CMAKE_SOURCE_DIR}/tests/integration/bus/peer.c)
target_link_libraries(bus_test_peer PRIVATE box_flags box_common box_nng)
target_include_directories(bus_test_peer PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
add_executable(integration_bus ${CMAKE_SOURCE_DIR}/tests/integration/bus/test_bus.c)
target_link_libraries(integration_bus PRIVATE box_flags box_common box_nng ${CMOCKA_LIBRARY})
target_include_directories(integration_bus PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
add_test(NAME integration_bus COMMAND integration_bus $<TARGET_FILE:bus_test_peer>)
set_tests_properties(integration_bus PROPERTIES LABELS integration TIMEOUT 300)

foreach(file frame keys)
	box_fuzz(${file} SERVICE common)
	target_include_directories(fuzz_${file} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
endforeach()

# By hand: bench_bus $(pwd)/bus_test_peer 23100 8
add_executable(bench_bus EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/bench/bench_bus.c)
target_link_libraries(bench_bus PRIVATE box_flags box_common)
target_include_directories(bench_bus PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
