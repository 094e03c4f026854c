select * from read_parquet('{{ env_var("GENIAS_DATA", ".") }}/metrics/*/*.parquet')
