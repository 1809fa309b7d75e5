using Benchmarks;

switch (args)
{
    case ["scoring", .. var rest]:
        return ScoringBenchmark.Run(rest);
    case ["memory", .. var rest]:
        return MemoryBenchmark.Run(rest);
    default:
        Console.Error.WriteLine("""
            usage: Benchmarks scoring [--seconds S] [--batch N]   rows a second: the batching transformer, Microsoft.ML.OnnxTransformer, a loop by hand
                   Benchmarks memory [--rows N]                   peak memory while many rows are scored
            """);
        return 2;
}
