foreach(file address target policy pinned headers wire forward dns_message inject vault table)
	box_unit_test(egress-proxy ${file} LIBS egress_rules)
endforeach()
target_compile_definitions(unit_egress-proxy_table PRIVATE BOX_SOURCE_DIR="${CMAKE_SOURCE_DIR}")

foreach(file address target forward wire dns inject)
	box_fuzz(egress_${file} SERVICE egress-proxy LIBS egress_rules)
endforeach()

# For tests/integration/test_egress.py: both neighbours of the proxy.
foreach(neighbour egress_registry egress_open)
	add_executable(${neighbour} ${CMAKE_SOURCE_DIR}/tests/support/${neighbour}.c)
	target_link_libraries(${neighbour} PRIVATE box_flags box_common)
	set_target_properties(${neighbour} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endforeach()
