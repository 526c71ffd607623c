foreach(file callers jsonrpc era mgmt_args origin negotiate session ratelimit param_headers events catalog result timing)
	box_unit_test(gateway ${file} LIBS gateway_pure)
endforeach()
box_unit_test(gateway executors
	SOURCES ${CMAKE_SOURCE_DIR}/services/gateway/executors.c
		${CMAKE_SOURCE_DIR}/services/gateway/pauses.c ${CMAKE_SOURCE_DIR}/services/gateway/thread.c)

foreach(file jsonrpc era)
	box_fuzz(${file} SERVICE gateway LIBS gateway_pure)
endforeach()

# For tests/integration/test_gateway.py: the gateway's peers on the bus.
foreach(peer gateway_registry gateway_executor)
	add_executable(${peer} ${CMAKE_SOURCE_DIR}/tests/support/${peer}.c)
	target_link_libraries(${peer} PRIVATE box_flags box_common)
	set_target_properties(${peer} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endforeach()
