using Benchmarks;

switch (args)
{
    case ["scoring", .. var rest]:
        return ScoringBenchmark.Run(rest);
    case ["memory", .. var rest]:
        return MemoryBenchmark.Run(rest);
    case ["ops", .. var rest]:
        return OpBenchmark.Run(rest);
    case ["pictures", .. var rest]:
        return PictureBenchmark.Run(rest);
    case ["detection", .. var rest]:
        return DetectionBenchmark.Run(rest);
    case ["segmentation", .. var rest]:
        return SegmentationBenchmark.Run(rest);
    case ["training", .. var rest]:
        return TrainingBenchmark.Run(rest);
    case ["story", .. var rest]:
        return StoryBenchmark.Run(rest);
    case ["inference", .. var rest]:
        return InferenceBenchmark.Run(rest);
    case ["timeseries", .. var rest]:
        return TimeSeriesBenchmark.Run(rest);
    default:
        Console.Error.WriteLine("""
            usage: Benchmarks scoring [--seconds S] [--batch N]   rows a second: our transformer, Microsoft.ML.OnnxTransformer, by hand
                   Benchmarks memory [--rows N]                   peak memory while many rows are scored
                   Benchmarks ops [--device cpu|cuda] [--batch N] each operator: our kernel against its definition in standard operators
                   Benchmarks pictures [--device cpu|cuda] [--model NAME] [--batch N] [--pictures N] [--precision fp32|amp]
                                                                  the share of a training's time in which the model waits for pictures
                   Benchmarks inference [--device cpu|cuda] [--batch N] [--height H] [--width W] [--stem C] [--runs N]
                       [--precision fp32|tf32|fp16] [--provider KEY=VALUE,...] [--python PROGRAM]   UGDC, beside PyTorch where --python has it
                   Benchmarks story [--device cpu|cuda] [--precision fp32|tf32|fp16] [--size S] [--images N,N] [--share R] [--runs N]
                       [--memory] [--kernel-only] [--python PROGRAM]
                                                                  consistent self-attention of Stable Diffusion XL, beside standard operators
                   Benchmarks detection [--device cpu|cuda] [--model NAME] [--height H] [--width W] [--steps N]
                       [--precision fp32|tf32] [--python PROGRAM] [--profile]   a detector on one picture, beside PyTorch
                   Benchmarks segmentation [--device cpu|cuda] [--model NAME] [--shots K] [--size S] [--batch N] [--runs N]
                       [--precision fp32|tf32|fp16] [--provider KEY=VALUE,...] [--python PROGRAM] [--profile]
                                                                  few-shot segmentation with its support and with one computed before
                   Benchmarks timeseries [--device cpu|cuda] [--variables 17|155] [--batch N] [--runs N] [--precision fp32|tf32|amp]
                       [--python PROGRAM] [--profile]             TSCAN: rows a second of scoring and of training, beside PyTorch
                   Benchmarks training [--device cpu|cuda] [--model NAME] [--size S] [--batch N] [--steps N]
                       [--precision fp32|tf32|amp] [--python PROGRAM] [--profile]   a training step, beside PyTorch where --python has it
            """);
        return 2;
}
