foreach(file jsonrpc era origin negotiate session ratelimit redact param_headers)
	box_unit_test(gateway ${file} LIBS gateway_pure)
endforeach()
